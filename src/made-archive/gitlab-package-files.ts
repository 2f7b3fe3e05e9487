/** What the package registry of a GitLab keeps of an uploaded package. */
import { listFiles, type Package } from './deb-package.ts';

/** A file of a package, as GitLab keeps it after the upload was processed. */
export interface PackageFile {
  readonly kind: 'deb' | 'udeb' | 'dsc' | 'source';
  readonly fileName: string;
  readonly bytes: Uint8Array;
  readonly component: string;
  /** Null: of a source. */
  readonly architecture: string | null;
  /** Of its control file or .dsc. */
  readonly fields: ReadonlyMap<string, string>;
  /** Of the source package, under which GitLab files what is built from it. */
  readonly packageName: string;
  readonly version: string;
  readonly projectId: number;
  readonly uploadedAt: number;
}

/** What GitLab makes of an uploaded package (`process_package_file_service.rb`). */
export function packageFilesOf(
  uploaded: Package,
  projectId: number,
  uploadedAt: number,
): PackageFile[] {
  const { name, version, component } = uploaded;
  const shared = { packageName: name, version, component, projectId, uploadedAt };
  if (uploaded.kind === 'binary') {
    const { file, architecture, control } = uploaded;
    const kind = file.name.endsWith('.udeb') ? 'udeb' : 'deb';
    const packageName = control.get('Source') ?? name;
    return [{ ...shared, packageName, kind, ...named(file), architecture, fields: control }];
  }
  const [dsc, ...others] = uploaded.files;
  if (dsc === undefined) throw new Error(`${name} has no .dsc`);
  const fields = new Map([...uploaded.control, ...listFiles(others)]);
  return [
    { ...shared, kind: 'dsc', ...named(dsc), architecture: null, fields },
    ...others.map((file): PackageFile => ({
      ...shared,
      kind: 'source',
      ...named(file),
      architecture: null,
      fields: new Map(),
    })),
  ];
}

const named = ({ name, bytes }: { readonly name: string; readonly bytes: Uint8Array }) => ({
  fileName: name,
  bytes,
});
