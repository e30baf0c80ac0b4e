// The values that templates work on, as the formatters import them.

export {
  goJson,
  isMap,
  parseJson,
  showValue,
  TemplateObject,
  TypedNil,
} from "../../template/index.ts";
