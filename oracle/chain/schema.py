"""The tables of the job database. A change of this file raises `SCHEMA` in store.py."""

TABLES = """
-- The job database. Everything here can be rebuilt from the chain, except what was inferred and not yet answered.
-- Times end in _ms or _s (Unix time), hashes are 0x hex.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- The last block whose events are all in here.
CREATE TABLE cursor (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), number INTEGER NOT NULL, hash TEXT NOT NULL);

-- Blocks behind the cursor, to find where another branch begins. Not every number is in here.
CREATE TABLE blocks (number INTEGER PRIMARY KEY, hash TEXT NOT NULL);

-- The router's events about jobs that concern us, on the branch of the cursor.
CREATE TABLE events (
  block_hash TEXT NOT NULL, tx_hash TEXT NOT NULL, log_index INTEGER NOT NULL,
  block_number INTEGER NOT NULL, job_id INTEGER NOT NULL, kind TEXT NOT NULL, fields TEXT NOT NULL,
  PRIMARY KEY (block_hash, tx_hash, log_index)
) WITHOUT ROWID;
CREATE INDEX events_by_job ON events (job_id);
CREATE INDEX events_by_block ON events (block_number);

-- `status` is what the events add up to; `state` is what we did about it. `job` and `inference` are JSON.
CREATE TABLE jobs (
  job_id INTEGER PRIMARY KEY,
  state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', tries INTEGER NOT NULL DEFAULT 0,
  retry_at_ms INTEGER NOT NULL DEFAULT 0, begun INTEGER NOT NULL DEFAULT 0,
  status TEXT NOT NULL, provider INTEGER NOT NULL, requester TEXT NOT NULL, deadline_s INTEGER NOT NULL,
  job TEXT NOT NULL, units INTEGER NOT NULL DEFAULT 0, output TEXT NOT NULL DEFAULT '', inference TEXT,
  block_number INTEGER NOT NULL, read_at_ms REAL NOT NULL, sent_at_ms REAL, changed_at_ms REAL NOT NULL
);
CREATE INDEX jobs_by_state ON jobs (state, job_id);
CREATE INDEX jobs_by_status ON jobs (status, deadline_s);

-- One row per nonce of the sender. The signed bytes are in `attempts`, newest last, stored before they are sent.
CREATE TABLE outbox (
  id INTEGER PRIMARY KEY, sender TEXT NOT NULL, nonce INTEGER NOT NULL, purpose TEXT NOT NULL,
  target TEXT NOT NULL, data BLOB NOT NULL, gas INTEGER NOT NULL, deadline_s INTEGER NOT NULL,
  value_wei TEXT NOT NULL DEFAULT '0', -- as text: it may be longer than 64 bits
  state TEXT NOT NULL, cancel INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '',
  block_number INTEGER, block_hash TEXT, success INTEGER, gas_used INTEGER
);
CREATE UNIQUE INDEX one_row_per_nonce ON outbox (sender, nonce) WHERE state <> 'freed';
CREATE INDEX outbox_by_state ON outbox (state, nonce);

-- What a row is for: one purpose, or several that share a transaction. Live is what is under way or was successful, and
-- each purpose is so once at most.
CREATE TABLE parts (
  outbox_id INTEGER NOT NULL REFERENCES outbox (id) ON DELETE CASCADE, purpose TEXT NOT NULL, job_id INTEGER,
  live INTEGER NOT NULL DEFAULT 1, PRIMARY KEY (outbox_id, purpose)
) WITHOUT ROWID;
CREATE UNIQUE INDEX one_live_row_per_purpose ON parts (purpose) WHERE live = 1;
CREATE INDEX parts_by_job ON parts (job_id);
CREATE TRIGGER parts_live AFTER UPDATE OF state, cancel ON outbox BEGIN
  UPDATE parts SET live = (NEW.cancel = 0 AND NEW.state IN ('signed', 'sent', 'mined', 'final'))
    WHERE outbox_id = NEW.id;
END;

CREATE TABLE attempts (
  id INTEGER PRIMARY KEY, outbox_id INTEGER NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
  hash TEXT NOT NULL UNIQUE, raw BLOB NOT NULL, max_fee_wei INTEGER NOT NULL, tip_wei INTEGER NOT NULL,
  cancel INTEGER NOT NULL, sent_block INTEGER
);
CREATE INDEX attempts_by_outbox ON attempts (outbox_id, id);

-- Jobs that we gave up, for a person to look at.
CREATE TABLE dead_letters (job_id INTEGER NOT NULL, at_ms REAL NOT NULL, tries INTEGER NOT NULL, reason TEXT NOT NULL);
"""
