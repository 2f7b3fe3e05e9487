/**
 * As apt reads what gpgv says on its status channel: at least one good signature whose hash it
 * trusts, and none that is bad or has expired (methods/gpgv.cc).
 */
export function gpgvSays(status: string): boolean {
  const lines = status.split('\n');
  const good = lines.some((line) => line.startsWith('[GNUPG:] GOODSIG '));
  const strong = lines.some(
    (line) =>
      line.startsWith('[GNUPG:] VALIDSIG ') && !['1', '2', '3'].includes(line.split(' ')[9] ?? ''),
  );
  const refused = lines.some((line) => /^\[GNUPG:\] (BADSIG|EXPSIG) /.test(line));
  return good && strong && !refused;
}
