/** Text of a policy file as records carry it. Version 1 takes any name and any tag; records have no control characters, and an end. */
import { CONTROL } from "../beacon/codec.js";

/** Names of version 2 are shorter. */
const MAX_NAME = 128;

export function recordable(text: string): string {
  return text.toWellFormed().replace(new RegExp(CONTROL, "g"), "\ufffd");
}

export function recordableName(name: string): string {
  return recordable(recordable(name).slice(0, MAX_NAME)); // a cut pair of surrogates is no text either
}
