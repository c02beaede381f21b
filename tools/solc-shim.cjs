// The npm compiler (WebAssembly) behind the command line of the native `solc`, as far as py-solc-x and ape-solidity use it:
//
//   solc --version
//   solc --standard-json [--base-path DIR] [--include-path DIR]... [--allow-paths DIR,DIR...] [FILE | -]
//
// tools/set_up.py writes `.solcx/solc-vX.Y.Z`, which starts this file with two words of its own in front: the folder of the
// npm package and its long version. (The version is handed in because asking the compiler for it loads 30 MB of WebAssembly.)

'use strict';

const fs = require('node:fs');
const path = require('node:path');

const [compilerFolder, longVersion, ...words] = process.argv.slice(2);

function parse(words) {
  const options = { version: false, standardJson: false, basePath: '', includePaths: [], allowPaths: [], file: '-' };
  const queue = words.flatMap((word) => (word.startsWith('--') && word.includes('=') ? splitOnce(word) : [word]));
  while (queue.length > 0) {
    const word = queue.shift();
    if (word === '--version') options.version = true;
    else if (word === '--standard-json') options.standardJson = true;
    else if (word === '--base-path') options.basePath = queue.shift();
    else if (word === '--include-path') options.includePaths.push(queue.shift());
    else if (word === '--allow-paths') options.allowPaths.push(...queue.shift().split(',').filter(Boolean));
    else if (word === '-' || !word.startsWith('-')) options.file = word;
    else fail(`unknown option ${word}: this compiler comes from npm and answers only --version and --standard-json`);
  }
  return options;
}

function splitOnce(word) {
  const at = word.indexOf('=');
  return [word.slice(0, at), word.slice(at + 1)];
}

function fail(message) {
  process.stderr.write(`Error: ${message}\n`);
  process.exit(1);
}

// Answers the compiler's question for an imported file with the native rules: a relative name is looked up under the base
// path, then under each include path; whatever is found must lie inside one of these or inside an allowed path.
function reader({ basePath, includePaths, allowPaths }) {
  const roots = [basePath || '.', ...includePaths].map((folder) => path.resolve(folder));
  const allowed = [...roots, ...allowPaths.map((folder) => path.resolve(folder))].map(real);
  const inside = (file, folder) => file === folder || file.startsWith(folder + path.sep);
  return (name) => {
    for (const root of roots) {
      const file = path.resolve(root, name); // an absolute name stays as it is
      if (!fs.existsSync(file)) continue;
      if (!allowed.some((folder) => inside(real(file), folder))) return { error: 'File outside of allowed directories.' };
      return { contents: fs.readFileSync(file, 'utf8') };
    }
    return { error: 'File not found inside the base path or any of the include paths.' };
  };
}

function real(file) {
  return fs.existsSync(file) ? fs.realpathSync(file) : file;
}

const options = parse(words);
if (options.version) {
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${longVersion}`);
} else if (options.standardJson) {
  const input = fs.readFileSync(options.file === '-' ? 0 : options.file, 'utf8');
  const output = require(compilerFolder).compile(input, { import: reader(options) });
  process.stdout.write(output + '\n'); // like the native one: errors are in the output, the exit status stays 0
} else {
  fail('nothing to do: expected --version or --standard-json');
}
