// SPDX-License-Identifier: Apache-2.0
// Runs a WASI command: node wasi.mjs COMMAND.wasm.  Of Node it needs V8 and its WASI.
import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";

const wasi = new WASI({ version: "preview1" });
const module = await WebAssembly.compile(await readFile(process.argv[2]));
process.exitCode = wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject()));
