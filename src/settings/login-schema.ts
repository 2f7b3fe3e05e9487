/** References to secrets, and the logins of archives that are made of them. */
import { z } from 'zod';

/** PostgreSQL stores neither NUL nor half of a surrogate pair, and no path has other controls. */
const place = z.string().regex(/^[^\p{Cc}\p{Cs}]+$/u, 'text without control characters');
export const secret = z.union([z.strictObject({ env: place }), z.strictObject({ file: place })], {
  error: '{env: NAME} or {file: PATH}',
});
export const LOGIN_FORM =
  '`{user, password}`, `{bearer}`, `{headers: {NAME: …}}` or `{client_certificate, key}`;' +
  ' each secret is `{env: NAME}` or `{file: PATH}`';
export const login = z.union(
  [
    z.strictObject({ user: z.string().min(1), password: secret }),
    z.strictObject({ bearer: secret }),
    z.strictObject({ headers: z.record(z.string(), secret) }),
    z.strictObject({ client_certificate: secret, key: secret }),
  ],
  { error: LOGIN_FORM.replaceAll('`', '') },
);
