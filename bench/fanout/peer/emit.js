// The official emitter for other processes, obeying the same lines as bench.fanout.events.
import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { Emitter } from "@socket.io/redis-emitter";
import Redis from "ioredis";

const BODY_BYTES = 200;
const emitter = new Emitter(new Redis(process.env.REDIS_PATH));
const seconds = () => Number(process.hrtime.bigint()) / 1e9; // the clock of Python's time.monotonic

async function emit({ batches, interval }) {
  const sent = [];
  const begun = seconds();
  for (const [number, batch] of batches.entries()) {
    const left = begun + number * interval - seconds();
    if (left > 0) await pause(left * 1000);
    for (const [room, count] of batch) {
      for (let n = 0; n < count; n += 1) {
        sent.push([room, seconds()]);
        emitter.to(`r${room}`).emit("event", { data: randomBytes((BODY_BYTES - 11) / 2).toString("hex") });
      }
    }
  }
  return { sent };
}

console.log("{}");
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await emit(JSON.parse(line))));
}
process.exit(0);
