// A Helia node, the second implementation of IPFS in the tests: real blocks, real pins, on loopback only. It speaks the
// part of Kubo's RPC that `peers/kubo.py` needs and is a trustless gateway, so our clients meet another's code.
// Environment: RPC, GATEWAY (ports), REPO (folder). Prints "ready".
import { car } from "@helia/car";
import { unixfs } from "@helia/unixfs";
import { CarReader } from "@ipld/car";
import { FsBlockstore } from "blockstore-fs";
import { FsDatastore } from "datastore-fs";
import Busboy from "busboy";
import { createHelia } from "helia";
import { fixedSize } from "ipfs-unixfs-importer/chunker";
import { balanced } from "ipfs-unixfs-importer/layout";
import { CID } from "multiformats/cid";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";

const { RPC, GATEWAY, REPO } = process.env;
fs.mkdirSync(REPO, { recursive: true });
const blockstore = new FsBlockstore(`${REPO}/blocks`);
const datastore = new FsDatastore(`${REPO}/data`);
await blockstore.open();
await datastore.open();
const helia = await createHelia({
  blockstore,
  datastore,
  http: { routers: [] },
  libp2p: {
    config: "replace",
    addresses: { listen: [] },
    transports: [],
    connectionEncrypters: [],
    streamMuxers: [],
    peerDiscovery: [],
    services: {},
  },
});
await helia.start?.();
const cars = car(helia);
const PROFILE = {
  cidVersion: 1,
  rawLeaves: true,
  chunker: fixedSize({ chunkSize: 1 << 20 }),
  layout: balanced({ maxChildrenPerNode: 1024 }),
};

async function bytesOf(stream) {
  if (stream instanceof Uint8Array) return stream;
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

const block = async (cid) => bytesOf(await helia.blockstore.get(cid, { signal: AbortSignal.timeout(10_000) }));
const json = (response, value, status = 200) => {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(value) + "\n");
};

async function sendAll(stream, response) {
  for await (const piece of stream) if (!response.write(piece)) await once(response, "drain");
  response.end();
}

function fileOf(request, take) {
  return new Promise((resolve, reject) => {
    const form = Busboy({ headers: request.headers });
    let taken;
    form.on("file", (_, stream) => (taken = take(stream)));
    form.on("close", () => Promise.resolve(taken).then(resolve, reject));
    form.on("error", reject);
    request.pipe(form);
  });
}

async function pinOnce(cid) {
  if (!(await helia.pins.isPinned(cid))) for await (const _ of helia.pins.add(cid));
}

const commands = {
  add: async (_, request, response) => {
    const cid = await fileOf(request, (stream) => unixfs(helia).addByteStream(stream, PROFILE));
    json(response, { Hash: cid.toString() });
  },
  "block/get": async (cid, _, response) => response.end(await block(cid)),
  "dag/export": async (cid, _, response) => sendAll(cars.export(cid), response),
  "dag/import": async (_, request, response) => {
    const reader = await fileOf(request, (stream) => CarReader.fromIterable(stream));
    await cars.import(reader);
    const [root] = await reader.getRoots();
    await pinOnce(root);
    json(response, { Root: { Cid: { "/": root.toString() }, PinErrorMsg: "" } });
  },
  "pin/add": async (cid, _, response) => {
    await pinOnce(cid);
    json(response, { Pins: [cid.toString()] });
  },
  "pin/rm": async (cid, _, response) => {
    for await (const _ of helia.pins.rm(cid));
    json(response, { Pins: [cid.toString()] });
  },
  "pin/ls": async (cid, _, response) => {
    const pinned = await helia.pins.isPinned(cid);
    if (!pinned) return json(response, { Message: `path '${cid}' is not pinned`, Code: 0 }, 500);
    json(response, { Keys: { [cid.toString()]: { Type: "recursive" } } });
  },
};

function serve(port, answer) {
  const server = http.createServer(async (request, response) => {
    try {
      await answer(new URL(request.url, "http://localhost"), request, response);
    } catch (error) {
      if (response.headersSent) response.destroy();
      else json(response, { Message: error.message, Code: 0 }, 500);
    }
  });
  return new Promise((resolve) => server.listen(Number(port), "127.0.0.1", resolve));
}

await serve(RPC, async (url, request, response) => {
  const argument = url.searchParams.get("arg");
  await commands[url.pathname.replace("/api/v0/", "")](argument && CID.parse(argument), request, response);
});
await serve(GATEWAY, async (url, _, response) => {
  const cid = CID.parse(url.pathname.replace("/ipfs/", ""));
  if (!(await helia.blockstore.has(cid))) return json(response, { Message: "not held" }, 404);
  if (url.searchParams.get("format") === "car") return sendAll(cars.export(cid), response);
  response.end(await block(cid));
});
console.log("ready");
