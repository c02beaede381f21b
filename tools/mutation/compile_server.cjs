// Keeps the compiler of the npm package loaded: standard JSON in, standard JSON out, one line each. Starting it anew for
// every mutant would cost more than compiling does.
//
//   compile_server.cjs FOLDER_OF_SOLC

'use strict';

const fs = require('node:fs');
const readline = require('node:readline');

const solc = require(fs.realpathSync(process.argv[2]));

function read(name) {
  return fs.existsSync(name) ? { contents: fs.readFileSync(name, 'utf8') } : { error: 'File not found.' };
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  process.stdout.write(JSON.stringify(JSON.parse(solc.compile(line, { import: read }))) + '\n');
});
