// One entry of a log file, as a view into a block of it: no object, no string is made for a line.
// Both formats fill the same view; what reads entries (formatting, search, shipping) knows no
// format.

export interface RecordView {
  /** Where the next record begins. */
  next: number;
  stream: 1 | 2;
  textStart: number;
  textEnd: number;
  /** The text holds JSON escapes. */
  escaped: boolean;
  /** The line ends with this record: a newline follows the text. */
  ended: boolean;
  /** Which part of a line it is, from 1 on; 0 for a whole line, or where the file does not say. */
  ordinal: number;
  /** JSON text of the attributes; both 0 where there are none. */
  attrsStart: number;
  attrsEnd: number;
  /** JSON: the text of the time. */
  timeStart: number;
  timeEnd: number;
}

export const newView = (): RecordView => ({
  next: 0,
  stream: 1,
  textStart: 0,
  textEnd: 0,
  escaped: false,
  ended: true,
  ordinal: 0,
  attrsStart: 0,
  attrsEnd: 0,
  timeStart: 0,
  timeEnd: 0,
});

export interface LogTime {
  seconds: number;
  nanoseconds: number;
}

export interface LogFormat {
  readonly name: "json" | "binary";
  /** Bytes before the first record of a file. */
  readonly headBytes: number;
  /** Fills the view with the record at `at`. "torn": none that makes sense, go on at view.next;
   * "short": the block ends before the record does. */
  read(block: Buffer, at: number, end: number, view: RecordView): "whole" | "torn" | "short";
  time(block: Buffer, view: RecordView): LogTime;
  /** RFC 3339 with exactly nine digits and a space after it; returns where it ends. */
  writeTime(block: Buffer, view: RecordView, out: Buffer, at: number): number;
  /** Start of the last whole record that ends at `end`, or -1 where the block has only its end. */
  before(block: Buffer, end: number): number;
  /** A record's start at or after `at`, or -1: for a search. Undefined where it cannot be told. */
  boundary?(block: Buffer, at: number, end: number): number;
}

export const compareTimes = (a: LogTime, b: LogTime): number =>
  a.seconds - b.seconds || a.nanoseconds - b.nanoseconds;

export const TIME_BYTES = 31;
