// Docker's progress and event streams: JSON values one after the other, with or without newlines
// between them, cut anywhere by the transport.

/** Yields each top-level JSON object of a byte stream, as text. */
export async function* jsonTexts(body: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let text = "";
  let depth = 0;
  let inString = false;
  let escaped = false;
  let at = 0;
  let start = -1;
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true });
    for (; at < text.length; at++) {
      const c = text.charCodeAt(at);
      if (inString) {
        if (escaped) escaped = false;
        else if (c === 0x5c) escaped = true;
        else if (c === 0x22) inString = false;
      } else if (c === 0x22) inString = true;
      else if (c === 0x7b || c === 0x5b) {
        if (depth++ === 0) start = at;
      } else if (c === 0x7d || c === 0x5d) {
        if (--depth === 0) {
          yield text.slice(start, at + 1);
          text = text.slice(at + 1);
          at = -1;
          start = -1;
        }
      }
    }
  }
}

/** Yields each JSON object of a byte stream. */
export async function* jsonValues<T>(body: AsyncIterable<Buffer>): AsyncGenerator<T> {
  for await (const text of jsonTexts(body)) yield JSON.parse(text) as T;
}
