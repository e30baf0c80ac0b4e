// A password, checked against the file, within the limit for wrong ones.

import type { Htpasswd } from "./htpasswd.ts";
import type { RateLimits } from "./rate-limits.ts";

/** Whether the password is right; a wrong one counts against the address. */
export async function passwordIsRight(
  { username, password }: { username: string; password: string },
  context: { users: Htpasswd; limits: RateLimits; remoteAddress: string },
): Promise<boolean> {
  const { users, limits, remoteAddress } = context;
  const right = await users.verify(username, password, () => limits.mayGuess(remoteAddress));
  if (!right) limits.guessedWrong(remoteAddress);
  return right;
}
