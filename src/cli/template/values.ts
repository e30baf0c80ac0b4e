// The values that templates work on, as the formatters import them.

export {
  compareBytes,
  goJson,
  isMap,
  parseJson,
  showValue,
  TemplateObject,
  TypedNil,
} from "../../template/index.ts";
