// Go templates, as the commands import them.

export * from "../../template/index.ts";
