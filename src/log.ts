/**
 * The log of a process: one JSON object per line. A line that is written inside of an activity or a
 * workflow names what it works on: distribution, site, generation, workflowId, runId, activityType,
 * activityId, attempt, as far as they are known. No lists of files, no secrets: of an error only
 * the fields listed here are written, since errors of HTTP clients carry whole requests. Every text
 * is printable and every field bounded: a line may quote an archive, a site or a signal, and be
 * read in a terminal.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

import type { ActivityInterceptorsFactory, Logger as SdkLogger } from '@temporalio/worker';
import { pino, type DestinationStream, type LogFn, type Logger } from 'pino';

import { DebgeoError, isErrorCode, printableReport, type ErrorReport } from './domain/errors.ts';
import { LIMITS } from './domain/limits.ts';
import { printable, printableLines, printableValue } from './domain/text.ts';
import { readEnvironment, type LogLevel } from './settings/environment.ts';

type Fields = Readonly<Record<string, unknown>>;

const CAUSES_MAX = 3;

/** What the running activity works on: a part of every line that is written inside of it. */
const subject = new AsyncLocalStorage<Fields>();

export interface LogPlace {
  /** Unless a file is named or a stream given: stderr. */
  readonly file?: string | undefined;
  readonly into?: DestinationStream;
  readonly level?: LogLevel;
}

/** @throws CONFIG_INVALID  no level is given, and the environment is invalid */
export function createLog({
  file,
  into,
  level = readEnvironment().DEBGEO_LOG_LEVEL,
}: LogPlace = {}): Logger {
  const options = {
    level,
    mixin: () => subject.getStore() ?? {},
    serializers: { error: errorFields, cause: errorFields, err: errorFields },
    formatters: { log: fitFields },
    hooks: { logMethod: fitMessage },
  };
  return pino(
    options,
    into ?? pino.destination(file === undefined ? 2 : { dest: file, mode: 0o600 }),
  );
}

const fitFields = (fields: Fields): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [printable(name), fitField(value)]),
  );

/** An error is left to its serializer. */
function fitField(value: unknown): unknown {
  if (value instanceof Error) return value;
  const fit = printableValue(value);
  if (typeof fit !== 'object' || fit === null) return fit;
  const text = JSON.stringify(fit);
  return text.length <= LIMITS.logFieldCharacters ? fit : printable(text);
}

/** pino takes the message of an error that is logged without one. */
function fitMessage(this: Logger, args: Parameters<LogFn>, method: LogFn): void {
  const [fields, message, ...values] = args as unknown[];
  if (typeof fields === 'string') return method.apply(this, [printable(fields)]);
  const text = message ?? (fields instanceof Error ? fields.message : undefined);
  method.apply(this, [
    fields,
    ...(text === undefined ? [] : [printable(text)]),
    ...values,
  ] as never);
}

/** Names what it works on in each line of an activity: our own lines, and those of the SDK. */
export const logSubject: ActivityInterceptorsFactory = ({ info }) => {
  const activity = {
    workflowId: info.workflowExecution?.workflowId,
    runId: info.workflowExecution?.runId,
    activityType: info.activityType,
    activityId: info.activityId,
    attempt: info.attempt,
  };
  let fields: Fields = activity;
  return {
    inbound: {
      execute(input, next) {
        fields = { ...worksOn(input.args[0], info.workflowExecution?.workflowId), ...activity };
        return subject.run(fields, () => next(input));
      },
    },
    outbound: { getLogAttributes: (attributes, next) => next({ ...attributes, ...fields }) },
  };
};

/**
 * The log of Temporal's SDK: lines of workflows, and its own. Its `info` is normal operation, and
 * `debug` here.
 */
export function sdkLoggerInto(log: Logger): SdkLogger {
  const METHODS = {
    TRACE: 'trace',
    DEBUG: 'debug',
    INFO: 'debug',
    WARN: 'warn',
    ERROR: 'error',
  } as const;
  const write: SdkLogger['log'] = (level, message, meta = {}) => {
    // The token is a page of ids that the line has already; `workflowRunId` and `runId` are one.
    const { taskToken: _, isLocal: __, workflowRunId, ...rest } = meta as Record<string, unknown>;
    log[METHODS[level]](
      {
        ...worksOn({}, rest['workflowId']),
        ...(workflowRunId === undefined ? {} : { runId: workflowRunId }),
        ...rest,
      },
      message,
    );
  };
  return {
    log: write,
    trace: (message, meta) => write('TRACE', message, meta),
    debug: (message, meta) => write('DEBUG', message, meta),
    info: (message, meta) => write('INFO', message, meta),
    warn: (message, meta) => write('WARN', message, meta),
    error: (message, meta) => write('ERROR', message, meta),
  };
}

/**
 * What an activity or a workflow works on: the ids in the activity's input, and the name in the
 * workflow's id, `distribution/<name>` or `site/<name>`.
 */
function worksOn(input: unknown, workflowId: unknown): Fields {
  const [kind, name] = typeof workflowId === 'string' ? workflowId.split('/') : [];
  const given =
    typeof input === 'object' && input !== null ? (input as Record<string, unknown>) : {};
  const ids: Record<string, unknown> =
    kind === 'distribution' || kind === 'site' ? { [kind]: name } : {};
  for (const key of ['distribution', 'site', 'generation'])
    if (typeof given[key] === 'string' || typeof given[key] === 'number') ids[key] = given[key];
  return ids;
}

/** An error with a code explains itself; one without is written with its stack. */
function errorFields(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return fitField(error);
  const { code, type, cause, stack } = error as Error & {
    code?: unknown;
    type?: unknown;
    cause?: unknown;
  };
  const name =
    [code, type].find(isErrorCode) ?? printable(typeof code === 'string' ? code : error.name);
  return {
    code: name,
    message: printable(error.message),
    ...(error instanceof DebgeoError ? factsOf(error.report) : {}),
    ...(isErrorCode(name) || stack === undefined ? {} : { stack: printableLines(stack) }),
    ...(cause instanceof Error && depth < CAUSES_MAX
      ? { cause: errorFields(cause, depth + 1) }
      : {}),
  };
}

function factsOf(report: ErrorReport): Fields {
  const { expected, found } = printableReport(report);
  return { expected, found };
}
