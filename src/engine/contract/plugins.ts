// The door to plugins of docker's v1 protocol.

/** A request, as those who authorize it see it. */
export interface SeenByPlugins {
  method: string;
  uri: string;
  headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** A JSON body; absent for streams and where there are credentials. */
  body?: Buffer;
  /** Common name of the client's certificate; "" without one. */
  user: string;
  peerCertificates: readonly Buffer[];
}
export interface SentToPlugins {
  status: number;
  headers: Readonly<Record<string, string>>;
  body?: Buffer;
}
/** Who may refuse requests and answers; both reject in order to refuse. */
export interface AuthorizationDoor {
  isActive(): boolean;
  request(seen: SeenByPlugins): Promise<void>;
  answer(seen: SeenByPlugins, answer: SentToPlugins): Promise<void>;
  /** Throws when one of the plugins is not there. */
  validate(names: readonly string[]): Promise<void>;
}
