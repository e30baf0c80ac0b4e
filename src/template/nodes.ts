// The tree of a parsed template, and how Go writes its nodes in error messages.

export type Operand =
  | { kind: "dot"; at: number }
  | { kind: "nil"; at: number }
  | { kind: "bool"; at: number; value: boolean }
  | { kind: "number"; at: number; text: string; value: number | bigint; float: boolean }
  | { kind: "string"; at: number; text: string; value: string }
  | { kind: "field"; at: number; names: string[] }
  | { kind: "variable"; at: number; name: string; names: string[] }
  | { kind: "function"; at: number; name: string }
  | { kind: "chain"; at: number; of: Operand; names: string[] }
  | Pipe;
export interface Command {
  at: number;
  operands: Operand[];
}
export interface Pipe {
  kind: "pipe";
  at: number;
  assign: boolean;
  variables: string[];
  commands: Command[];
}
interface Block {
  at: number;
  pipe: Pipe;
  body: Node[];
  otherwise?: Node[];
}
export type Node =
  | { kind: "text"; at: number; text: string }
  | { kind: "action"; at: number; pipe: Pipe }
  | ({ kind: "if" | "with" } & Block)
  | ({ kind: "range" } & Block)
  | { kind: "template"; at: number; name: string; pipe?: Pipe }
  | { kind: "break" | "continue"; at: number };

/** The source form of an operand, as Go prints it between < and > in errors. */
export function showOperand(operand: Operand): string {
  switch (operand.kind) {
    case "dot":
      return ".";
    case "nil":
      return "nil";
    case "bool":
      return String(operand.value);
    case "number":
    case "string":
      return operand.text;
    case "field":
      return operand.names.map((name) => `.${name}`).join("");
    case "variable":
      return [operand.name, ...operand.names].join(".");
    case "function":
      return operand.name;
    case "chain": {
      const inner = showOperand(operand.of);
      const base = operand.of.kind === "pipe" ? `(${inner})` : inner;
      return base + operand.names.map((name) => `.${name}`).join("");
    }
    case "pipe":
      return showPipe(operand);
  }
}

export function showCommand(command: Command): string {
  return command.operands
    .map((operand) => (operand.kind === "pipe" ? `(${showPipe(operand)})` : showOperand(operand)))
    .join(" ");
}

export function showPipe(pipe: Pipe): string {
  const declared =
    pipe.variables.length === 0 ? "" : `${pipe.variables.join(", ")} ${pipe.assign ? "=" : ":="} `;
  return declared + pipe.commands.map(showCommand).join(" | ");
}
