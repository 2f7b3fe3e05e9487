/**
 * Where a token may go. A SAS and a token of an identity are the right itself: what receives one
 * may use it, that of an identity at every account. (A shared key signs, and is never sent.)
 */
import { DebgeoError } from '../domain/errors.ts';
import { isLoopback } from '../domain/loopback.ts';

/**
 * Blob endpoints of Azure's clouds (`Get-AzEnvironment`, StorageEndpointSuffix), and of accounts
 * with a DNS zone of their own (`ACCOUNT.z18.blob.storage.azure.net`, dnsEndpointType
 * AzureDnsZone).
 */
const BLOB_ENDPOINTS = [
  /\.blob\.core\.(?:windows\.net|usgovcloudapi\.net|chinacloudapi\.cn)$/,
  /\.z\d+\.blob\.storage\.azure\.net$/,
];

const isBlobEndpoint = (host: string): boolean => BLOB_ENDPOINTS.some((one) => one.test(host));

/**
 * @param accountUrl of the site
 * @param hosts `host` or `host:port` (DEBGEO_STORAGE_HOSTS)
 * @throws SITE_HOST_UNLISTED
 */
export function assertTokenMayGoTo(accountUrl: string, hosts: readonly string[]): void {
  const url = new URL(accountUrl);
  if (isLoopback(url)) return;
  if (url.protocol === 'https:' && url.port === '' && isBlobEndpoint(url.hostname)) return;
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  if (hosts.includes(url.hostname) || hosts.includes(`${url.hostname}:${port}`)) return;
  throw new DebgeoError('SITE_HOST_UNLISTED', `no SAS and no token goes to ${url.origin}`, {
    expected: [
      'https, and a host like ACCOUNT.blob.core.windows.net',
      `or ${url.host} in DEBGEO_STORAGE_HOSTS of the worker`,
    ],
    found: url.origin,
  });
}
