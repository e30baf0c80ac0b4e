// Keeps a network from being removed while a container is on its way to it, and the other way
// round: a bridge that is made for a network just removed would be nobody's.

import { GantryError } from "../base/index.ts";

type Named = { id: string; name: string };
type Endpoint = { networkId: string; endpointId: string };

export class NetworkUsers {
  readonly #joining = new Map<string, number>();
  readonly #removing = new Set<string>();

  /** Until disposed the network stays. Throws not-found while it is being removed. */
  join({ id, name }: Named): Disposable {
    if (this.#removing.has(id)) throw new GantryError("not-found", `network ${name} not found`);
    this.#joining.set(id, (this.#joining.get(id) ?? 0) + 1);
    return {
      [Symbol.dispose]: () => {
        const left = this.#joining.get(id)! - 1;
        if (left > 0) this.#joining.set(id, left);
        else this.#joining.delete(id);
      },
    };
  }

  /** Until disposed nobody joins. Throws forbidden while somebody does, or is on it. */
  remove({ id, name }: Named, live: Iterable<Endpoint>): Disposable {
    const active = [...live].filter(({ networkId }) => networkId === id);
    const ids = active.map(({ endpointId }) => `id:"${endpointId.slice(0, 12)}"`).join(", ");
    if (active.length > 0 || this.#joining.has(id)) {
      const message = `error while removing network: network ${name} has active endpoints`;
      throw new GantryError("forbidden", ids === "" ? message : `${message} (${ids})`);
    }
    this.#removing.add(id);
    return { [Symbol.dispose]: () => void this.#removing.delete(id) };
  }
}
