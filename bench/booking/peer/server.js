// The seed's booking flow on the seed's own stack, step by step as its sequence diagram draws it: lock the slot in
// Redis, check availability and the patient, create the consultation, mark the slot, release, answer, schedule the
// reminder. No session, limits, idempotency, audit or encryption: what it is measured beside has them on.
import { randomUUID } from "node:crypto";

import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient } from "@prisma/client";
import { Queue } from "bullmq";
import express from "express";
import { Redis } from "ioredis";

const LOCK_MS = 5_000;
const HOUR_MS = 3_600_000;
// Prisma gives a transaction up after 2 s in its queue; with 64 clients on a busy machine that would refuse bookings.
const PATIENCE = { maxWait: 20_000, timeout: 20_000 };
const UNLOCK = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0";

class Refused extends Error {
  constructor(status, code) {
    super(code);
    this.status = status;
  }
}

const redis = new Redis(process.env.REDIS_URL);
redis.defineCommand("unlock", { numberOfKeys: 1, lua: UNLOCK });
const reminders = new Queue("reminders", { connection: new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: null }) });
const adapter = new PrismaPg({ connectionString: process.env.DATABASE_URL, max: Number(process.env.POOL ?? 10) });
const prisma = new PrismaClient({ adapter });

async function locked(slotId, body) {
  const key = `lock:slot:${slotId}`;
  const token = randomUUID();
  if ((await redis.set(key, token, "PX", LOCK_MS, "NX")) !== "OK") throw new Refused(409, "slot-busy");
  try {
    return await body();
  } finally {
    await redis.unlock(key, token);
  }
}

function book({ patientId, doctorId, slotId }) {
  return prisma.$transaction(async (tx) => {
    const slot = await tx.slot.findUnique({ where: { id: slotId } });
    if (!slot || slot.doctorId !== doctorId) throw new Refused(404, "no-such-slot");
    if (slot.status !== "AVAILABLE" || slot.startTime <= new Date()) throw new Refused(409, "slot-taken");
    const patient = await tx.patient.findUnique({ where: { id: patientId } });
    if (!patient) throw new Refused(404, "no-such-patient");
    const busy = await tx.consultation.findFirst({
      where: {
        patientId,
        status: { in: ["PENDING", "ACTIVE"] },
        slot: { startTime: { lt: slot.endTime }, endTime: { gt: slot.startTime } },
      },
      select: { id: true },
    });
    if (busy) throw new Refused(409, "patient-busy");
    const id = randomUUID();
    const consultation = await tx.consultation.create({
      data: { id, patientId, doctorId, slotId, status: "PENDING", meetingLink: `/consultations/${id}` },
    });
    const taken = await tx.slot.updateMany({ where: { id: slotId, status: "AVAILABLE" }, data: { status: "BOOKED" } });
    if (taken.count !== 1) throw new Refused(409, "slot-taken");
    return { consultation, startTime: slot.startTime };
  }, PATIENCE);
}

const app = express();
app.use(express.json());

app.get("/healthz", (_request, response) => {
  response.json({ ok: true });
});

app.post("/book", async (request, response) => {
  const { consultation, startTime } = await locked(request.body.slotId, () => book(request.body));
  response.status(201).json(consultation);
  await reminders.add(
    "reminder",
    { consultationId: consultation.id },
    { delay: Math.max(0, startTime.getTime() - Date.now() - 24 * HOUR_MS), removeOnComplete: true },
  );
});

app.use((error, _request, response, _next) => {
  if (response.headersSent) {
    console.error(error);
    return;
  }
  const status = error.status ?? (error.code === "P2002" ? 409 : 500);
  if (status === 500) console.error(error);
  response.status(status).json({ error: error.message });
});

const server = app.listen(Number(process.env.PORT), "127.0.0.1", () => console.log(`ready on ${process.env.PORT}`));
server.keepAliveTimeout = 60_000;
process.on("SIGTERM", () => process.exit(0));
