// Prisma 7 keeps the environment's datasource here; the adapter of server.js makes the connections.
import { defineConfig } from "prisma/config";

export default defineConfig({
  schema: "prisma/schema.prisma",
  datasource: { url: process.env.DATABASE_URL ?? "postgresql://localhost/seed" },
});
