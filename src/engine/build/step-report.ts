// What a step says, held until its turn: steps of independent stages run side by side, but the
// classic output tells them in the order of the file. A step that says much before its turn waits.

import type { Progress } from "../contract.ts";

/** Of one step, before it must wait. */
const heldBytesMax = 1024 * 1024;

const RED = "\u001b[91m";
const PLAIN = "\u001b[0m";

export class StepReport {
  #messages: Progress[] = [];
  #bytes = 0;
  #ended = false;
  #news = Promise.withResolvers<void>();
  #room: PromiseWithResolvers<void> | undefined;
  readonly #decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };

  say(text: string): void {
    this.#push({ stream: text }, text.length);
  }

  /** Output of the step's command; resolves when more may come. */
  write(name: "stdout" | "stderr", chunk: Uint8Array): Promise<void> | void {
    const text = this.#decoders[name].decode(chunk, { stream: true });
    if (text !== "") this.say(name === "stderr" ? `${RED}${text}${PLAIN}` : text);
    if (this.#bytes <= heldBytesMax || this.#ended) return undefined;
    this.#room ??= Promise.withResolvers();
    return this.#room.promise;
  }

  /** Nothing more comes. */
  end(): void {
    this.#ended = true;
    this.#news.resolve();
    this.#room?.resolve();
  }

  /** A message that is none of ours: progress of a pull. */
  tell(message: Progress): void {
    this.#push(message, 0);
  }

  #push(message: Progress, bytes: number): void {
    this.#messages.push(message);
    this.#bytes += bytes;
    this.#news.resolve();
  }

  /** What is there already. */
  taken(): Progress[] {
    const messages = this.#messages;
    this.#messages = [];
    this.#bytes = 0;
    this.#room?.resolve();
    this.#room = undefined;
    return messages;
  }

  /** Everything, as it comes, until the step has ended. */
  async *messages(): AsyncGenerator<Progress> {
    for (;;) {
      this.#news = Promise.withResolvers();
      yield* this.taken();
      if (this.#messages.length > 0) continue;
      if (this.#ended) return;
      await this.#news.promise;
    }
  }
}
