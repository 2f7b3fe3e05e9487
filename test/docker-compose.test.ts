/** What can be tested of the compose file and the Dockerfile without Docker. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';

import { parse } from 'yaml';

import { ENVIRONMENT, readEnvironment } from '../src/settings/environment.ts';

interface Service {
  readonly image?: string;
  readonly build?: string;
  readonly restart?: string;
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly configs?: readonly { readonly source: string }[];
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly stop_grace_period?: string;
}
interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly configs: Readonly<Record<string, { readonly content: string }>>;
}

const root = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const compose = parse(read('docker-compose.yml'), { merge: true }) as Compose;
const services = Object.entries(compose.services);
const isOneShot = ({ restart }: Service): boolean => restart === 'no';
const isOurs = ({ image }: Service): boolean => image === 'debgeo:local';

/**
 * Azurite's public account key:
 * https://learn.microsoft.com/azure/storage/common/storage-use-azurite.
 */
const AZURITE_KEY =
  'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';
const PASSWORD = '${POSTGRES_PASSWORD:-development}';

/** Variables of the images that are not ours, as their documentation names them. */
const KNOWN: Readonly<Record<string, readonly string[]>> = {
  postgres: ['POSTGRES_USER', 'POSTGRES_PASSWORD', 'POSTGRES_DB', 'POSTGRES_INITDB_ARGS'],
  'temporalio/admin-tools': ['SQL_PASSWORD', 'TEMPORAL_ADDRESS'],
  'temporalio/server': [
    'DB',
    'DB_PORT',
    'POSTGRES_SEEDS',
    'POSTGRES_USER',
    'POSTGRES_PWD',
    'BIND_ON_IP',
    'DYNAMIC_CONFIG_FILE_PATH',
  ],
  'temporalio/ui': ['TEMPORAL_ADDRESS'],
  'mcr.microsoft.com/azure-storage/azurite': [],
};

describe('docker-compose.yml', () => {
  it('has the servers, the steps before them and the worker', () => {
    const names = [
      'postgres',
      'temporal-schema',
      'temporal',
      'temporal-namespace',
      'temporal-ui',
      'azurite',
      'azurite-containers',
    ];
    assert.deepEqual(Object.keys(compose.services).sort(), [...names, 'migrate', 'worker'].sort());
  });

  for (const [name, service] of services)
    describe(name, () => {
      it('has an image that is pinned by a tag, or is built here', () => {
        assert.match(service.image!, /:[\w.-]+$/);
        assert.doesNotMatch(service.image!, /:latest$|auto-setup/);
        assert.equal(service.build, isOurs(service) ? '.' : undefined);
      });

      it('either ends by itself or is watched', () => {
        if (isOneShot(service)) assert.equal(service.healthcheck, undefined);
        else {
          assert.equal(service.restart, 'unless-stopped');
          assert.equal(service.healthcheck!.test[0], 'CMD');
        }
      });

      it('waits for others until they are ready', () => {
        for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
          assert.ok(compose.services[other] !== undefined, other);
          assert.equal(
            condition,
            isOneShot(compose.services[other])
              ? 'service_completed_successfully'
              : 'service_healthy',
            other,
          );
        }
      });

      it('keeps what lasts in declared volumes, and takes declared configs', () => {
        for (const volume of service.volumes ?? [])
          assert.ok(Object.hasOwn(compose.volumes, volume.split(':')[0]!), volume);
        for (const { source } of service.configs ?? [])
          assert.equal(typeof parse(compose.configs[source]!.content), 'object');
      });

      it('listens on 127.0.0.1 only', () => {
        for (const port of service.ports ?? []) assert.match(port, /^127\.0\.0\.1:\d+:\d+$/);
      });

      it('is given only variables that it knows', () => {
        const known = isOurs(service)
          ? Object.keys(ENVIRONMENT)
          : KNOWN[service.image!.replace(/:[^:]*$/, '')];
        for (const variable of Object.keys(service.environment ?? {}))
          assert.ok(
            known!.includes(variable) || (isOurs(service) && variable.startsWith('DEBGEO_SITE_')),
            variable,
          );
      });

      it('is given no secret but the development password and the public key of Azurite', () => {
        for (const [variable, value] of Object.entries(service.environment ?? {})) {
          if (/PASSWORD|PWD|SECRET|API_KEY|TOKEN/.test(variable))
            assert.equal(value, PASSWORD, variable);
          const rest = value
            .replace(`AccountKey=${AZURITE_KEY}`, '')
            .replace(`:${PASSWORD}@`, '@')
            .replace(PASSWORD, '');
          assert.doesNotMatch(
            rest,
            /:[^/@]+@|Key=|sig=|(?<![\w/.+])[A-Za-z0-9][A-Za-z0-9+/]{31,}/,
            variable,
          );
        }
      });
    });

  it('runs commands that debgeo has', () => {
    const commands = [...read('src/main.ts').matchAll(/command\('(\w+)/g)].map(([, word]) => word!);
    for (const [name, service] of services.filter(
      ([, one]) => isOurs(one) && one.entrypoint === undefined,
    ))
      assert.ok(commands.includes(service.command![0]!), name);
    const [run, ...words] = compose.services['worker']!.healthcheck!.test.slice(1);
    assert.deepEqual([run, words[0], commands.includes(words[1]!)], ['node', 'src/main.ts', true]);
  });

  it('gives the worker more time to stop than it gives its slices', () => {
    const { stop_grace_period, environment = {} } = compose.services['worker']!;
    const { DEBGEO_STOP_MS } = readEnvironment(environment);
    assert.ok(Number.parseInt(stop_grace_period!, 10) * 1000 >= 2 * DEBGEO_STOP_MS);
  });

  it('keeps the database of debgeo apart from those of Temporal', () => {
    const own = new URL(
      compose.services['worker']!.environment!['DATABASE_URL']!.replace(PASSWORD, 'x'),
    ).pathname.slice(1);
    assert.equal(own, compose.services['postgres']!.environment!['POSTGRES_DB']);
    assert.doesNotMatch(
      compose.services['temporal-schema']!.command![0]!,
      new RegExp(`sql ${own}\\b`),
    );
  });

  it('has the Azurite that the tests run on', () => {
    const { devDependencies } = JSON.parse(read('package.json')) as {
      devDependencies: Record<string, string>;
    };
    assert.equal(compose.services['azurite']!.image!.split(':').at(-1), devDependencies['azurite']);
  });

  it('runs scripts without a fault of syntax', () => {
    const scripts = services.filter(([, { entrypoint }]) => entrypoint !== undefined);
    assert.equal(scripts.length, 3);
    for (const [name, { entrypoint, command }] of scripts) {
      const text = command![0]!.replaceAll('$$', '$');
      const check =
        entrypoint![0] === 'node'
          ? [process.execPath, '--check', '--input-type=module', '-']
          : ['/bin/sh', '-n'];
      const { status, stderr } = spawnSync(check[0]!, check.slice(1), {
        input: text,
        encoding: 'utf8',
      });
      assert.equal(status, 0, `${name}: ${stderr}`);
    }
  });
});

describe('Dockerfile', () => {
  const lines = read('Dockerfile').split('\n');
  const copied = lines
    .filter((line) => line.startsWith('COPY '))
    .flatMap((line) => line.split(' ').slice(1, -1));

  it('copies paths that exist and that .dockerignore lets through', () => {
    const letThrough = read('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));
    assert.ok(copied.length > 0);
    for (const path of copied) assert.ok(existsSync(join(root, path)), path);
    assert.deepEqual(copied.toSorted(), letThrough.toSorted());
  });

  it('copies every folder that the program imports from', () => {
    for (const path of [
      'src',
      'activities',
      'workflows',
      'package.json',
      'package-lock.json',
      '.npmrc',
    ])
      assert.ok(copied.includes(path), path);
  });

  it('installs every package that the program imports, and copies every file', () => {
    const { dependencies } = JSON.parse(read('package.json')) as {
      dependencies: Record<string, string>;
    };
    const seen = new Set<string>();
    const packages = new Set<string>();
    const visit = (path: string): void => {
      if (seen.has(path)) return;
      seen.add(path);
      for (const [, specifier] of read(path).matchAll(
        /(?:^import (?!type )[^;]*?from |^import |^export [^;]*? from |import\()'([^']+)'/gm,
      )) {
        if (specifier!.startsWith('.')) visit(join(dirname(path), specifier!));
        else if (!specifier!.startsWith('node:'))
          packages.add(specifier!.split('/', specifier!.startsWith('@') ? 2 : 1).join('/'));
      }
    };
    for (const entry of ['src/main.ts', 'workflows/index.ts']) visit(entry);

    assert.ok(seen.size > 60, `${seen.size} files`);
    assert.ok(packages.has('@temporalio/worker') && packages.has('@azure/storage-blob'));
    assert.deepEqual(
      [...seen].filter((path) => !copied.includes(path.split('/')[0]!)),
      [],
    );
    assert.deepEqual(
      [...packages].filter((name) => !Object.hasOwn(dependencies, name)),
      [],
    );
  });

  it('runs an entry that exists, without root, on the same Node; stops by SIGTERM', () => {
    const entry = JSON.parse(
      lines.find((line) => line.startsWith('ENTRYPOINT '))!.slice('ENTRYPOINT '.length),
    ) as string[];
    assert.deepEqual(entry, ['src/lean-node', 'src/main.ts']);
    assert.ok(lines.includes('USER node'));
    assert.ok(lines.includes('STOPSIGNAL SIGTERM'));
    assert.ok(lines.includes(`FROM node:${process.versions.node.split('.')[0]}-bookworm-slim`));
    assert.ok(lines.some((line) => line.includes('npm ci --omit=dev')));
  });
});
