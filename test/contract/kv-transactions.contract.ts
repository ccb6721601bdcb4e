/** What transactions do in every KV that is written to by them: Consul's own, and the one in memory that unit tests use. */
import { randomUUID } from "node:crypto";
import { type ConsulApi, ConsulError, type KvOperation } from "../../src/sidecar/consul-api.js";
import { applyInOrder, inTransactions } from "../../src/sidecar/kv-transactions.js";

type Kv = Pick<ConsulApi, "kvGet" | "kvList" | "kvPut" | "kvDelete" | "kvTxn">;

export function kvTransactionsContract(subject: () => Kv): void {
  describe("transactions on keys and values", () => {
    const prefix = `transactions/${randomUUID()}/`;
    const under = async (name: string) => new Map((await subject().kvList(`${prefix}${name}`)).value.map(({ key, value }) => [key.slice(prefix.length), Buffer.from(value).toString()]));

    it("are applied as one: what is set is there, under one index, and what is deleted is gone", async () => {
      await subject().kvPut(`${prefix}one/old`, "old");
      await subject().kvTxn([
        { set: `${prefix}one/ä "b"`, value: "größer" },
        { set: `${prefix}one/bytes`, value: Uint8Array.from([0, 255]) },
        { set: `${prefix}one/empty`, value: "" },
        { delete: `${prefix}one/old` },
        { delete: `${prefix}one/never` },
      ]);
      expect([...(await under("one/"))]).toEqual(expect.arrayContaining([['one/ä "b"', "größer"], ["one/empty", ""]]));
      expect((await under("one/")).has("one/old")).toBe(false);
      const { value } = await subject().kvGet(`${prefix}one/bytes`);
      expect([...(value?.value ?? [])]).toEqual([0, 255]);
      const indexes = (await subject().kvList(`${prefix}one/`)).value.map(({ modifyIndex }) => modifyIndex);
      expect(indexes).toHaveLength(3);
      expect(new Set(indexes).size).toBe(1);
    });

    it("are applied in their order: of one key the last counts", async () => {
      await subject().kvTxn([{ set: `${prefix}twice`, value: "1" }, { delete: `${prefix}twice` }, { set: `${prefix}twice`, value: "2" }]);
      expect([...(await under("twice"))]).toEqual([["twice", "2"]]);
      await subject().kvTxn([]);
    });

    it.each<[string, KvOperation[]]>([
      ["129 operations", Array.from({ length: 129 }, (_, i) => ({ set: `${prefix}many/${String(i)}`, value: "x" }))],
      ["more than 512 KiB of request", [{ set: `${prefix}many/large`, value: new Uint8Array(400 * 1024) }, { set: `${prefix}many/small`, value: "x" }]],
    ])("of %s are refused, and nothing of them is applied", async (_, operations) => {
      const refused = await subject().kvTxn(operations).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(ConsulError);
      expect(refused).toMatchObject({ code: "rejected", transient: false });
      expect(await under("many/")).toEqual(new Map());
    });

    it("cut to what fits are taken, filled to the last byte and operation; too large for any, an operation is taken alone", async () => {
      const values = Array.from({ length: 200 }, (_, i): KvOperation => ({ set: `${prefix}cut/${String(i).padStart(3, "0")}`, value: Buffer.alloc(i < 70 ? 10 : 9_000, "x") }));
      const large: KvOperation = { set: `${prefix}cut/large`, value: Buffer.alloc(512 * 1024, "x") };
      const operations = [...values, large, { delete: `${prefix}cut/000` }];
      const transactions = inTransactions(operations);
      expect(transactions.flat()).toEqual(operations);
      expect(transactions.length).toBeGreaterThan(4);
      await applyInOrder(subject(), operations);
      expect([...(await under("cut/")).keys()]).toEqual([...values.slice(1), large].map((each) => ("set" in each ? each.set.slice(prefix.length) : "")));
      // The largest that is put into a transaction of two is taken.
      const key = `${prefix}full/a`;
      const fits = (bytes: number) => inTransactions([{ delete: `${prefix}full/b` }, { set: key, value: Buffer.alloc(bytes) }]).length === 1;
      let bytes = 380 * 1024;
      expect(fits(bytes)).toBe(true);
      while (fits(bytes + 3)) bytes += 3;
      await subject().kvTxn([{ delete: `${prefix}full/b` }, { set: key, value: Buffer.alloc(bytes) }]);
      expect((await subject().kvGet(key)).value?.value).toHaveLength(bytes);
    });
  });
}
