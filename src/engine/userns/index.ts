// User namespaces of containers: which one each has, and of which ids it is made.

export { compose, mapWords, outside, requireMapped } from "./id-ranges.ts";
export {
  checkUserNamespaces,
  openUserNamespaces,
  type UserNamespaces,
  type UsernsOptions,
  type UsernsRecord,
} from "./namespaces.ts";
