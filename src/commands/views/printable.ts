/**
 * Text from elsewhere, made safe for a terminal. Names, details and error messages come from other machines; a
 * control character in them could move the cursor, rewrite what stands on the screen or reverse the reading
 * direction. Controls (Cc), format characters (Cf: bidi, zero-width, tags), lone surrogates and line separators
 * are shown as escapes instead.
 */

const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const UNSAFE_BUT_NEWLINE = /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** One line: line breaks are escaped too. */
export function printable(text: string): string {
  return text.replace(UNSAFE, escape);
}

/** Several lines, such as an error's message. */
export function printableLines(text: string): string {
  return text.replace(UNSAFE_BUT_NEWLINE, escape);
}

/**
 * JSON text with the same characters escaped inside its strings: the same value to every parser. Only what
 * JSON.stringify leaves raw is left to do, and that stands in strings only.
 */
export function safeJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replace(UNSAFE_BUT_NEWLINE, escape);
}

function escape(character: string): string {
  return Array.from({ length: character.length }, (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`).join("");
}
