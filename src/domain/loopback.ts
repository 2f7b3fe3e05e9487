/**
 * True of a URL that leads to this machine and to no other, by what it says: 127.0.0.0/8 and ::1
 * (RFC 1122, 3.2.1.3; RFC 4291, 2.5.3) as URL writes them, and `localhost` (RFC 6761, 6.3). What
 * goes there crosses no network.
 */
export const isLoopback = ({ hostname }: Pick<URL, 'hostname'>): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d+){3}$/.test(hostname);
