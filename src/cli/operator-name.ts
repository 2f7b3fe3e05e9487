import { hostname, userInfo } from 'node:os';

/** For records of what an operator did: `user@host`. */
export const operatorName = (): string => `${userNameOf()}@${hostname()}`;

/** In a container the user may have a number and no name. */
function userNameOf(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.()}`;
  }
}
