// Texts that several commands share.

export const FORMAT_USAGE = [
  "How to print:",
  "'table':          columns with headers (default)",
  "'table TEMPLATE': columns of a Go template",
  "'json':           one JSON object a line",
  "'TEMPLATE':       a Go template for each",
].join("\n");

export const FORMAT_OBJECT_USAGE = "How to print: 'json' or a Go template";
