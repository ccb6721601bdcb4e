/** A CA and certificates of its own, by the openssl program: what an operator would make. P-256, ten years. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Certificate {
  certFile: string;
  keyFile: string;
  cert: Buffer;
  key: Buffer;
}

export class TestCa {
  readonly caFile: string;
  readonly #keyFile: string;
  #made = 0;

  constructor(
    private readonly folder: string,
    private readonly name: string,
  ) {
    this.caFile = join(folder, `${name}.pem`);
    this.#keyFile = join(folder, `${name}-key.pem`);
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650", "-subj", `/CN=${name}`, "-keyout", this.#keyFile, "-out", this.caFile);
  }

  get ca(): Buffer {
    return readFileSync(this.caFile);
  }

  /** `names` such as DNS:node-1.example, IP:127.0.0.1 or URI:spiffe://… */
  issue(...names: string[]): Certificate {
    const path = join(this.folder, `${this.name}-${String((this.#made += 1))}`);
    const [certFile, keyFile, request, extensions] = [`${path}.pem`, `${path}-key.pem`, `${path}.csr`, `${path}.ext`];
    writeFileSync(extensions, `subjectAltName=${names.join(",")}\nextendedKeyUsage=serverAuth,clientAuth\n`);
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/", "-keyout", keyFile, "-out", request);
    openssl("x509", "-req", "-in", request, "-CA", this.caFile, "-CAkey", this.#keyFile, "-CAcreateserial", "-days", "3650", "-extfile", extensions, "-out", certFile);
    return { certFile, keyFile, cert: readFileSync(certFile), key: readFileSync(keyFile) };
  }
}

function openssl(...args: string[]): void {
  execFileSync("openssl", args, { stdio: "pipe" });
}
