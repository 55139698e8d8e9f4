// Node's socket.io with its Redis adapter as its documentation sets it up, but for our own heartbeat; a client joins
// the room that it names.
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import Redis from "ioredis";
import { Server } from "socket.io";

const redis = new Redis(process.env.REDIS_PATH);
const http = createServer();
const adapter = createAdapter(redis, redis.duplicate());
const io = new Server(http, { adapter, cors: { origin: "*" }, pingInterval: 10_000, pingTimeout: 10_000 });
io.on("connection", (socket) => {
  socket.on("join", (room, done) => {
    socket.join(room);
    done("ok");
  });
});
http.listen(Number(process.env.PORT), "127.0.0.1");
