// Speaks to a server with the unmodified socket.io-client, and writes one line of JSON for each thing that happens.
// Lines of JSON on standard input are calls: {"call": name, "fields": {...}} or {"drop": true}.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const [url, options] = process.argv.slice(2);
const socket = io(url, { reconnectionDelay: 100, reconnectionDelayMax: 300, ...JSON.parse(options) });
const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");

socket.on("connect", () => say({ on: "connect" }));
socket.on("connect_error", (error) => say({ on: "connect_error", message: error.message, data: error.data ?? null }));
socket.on("disconnect", (reason) => say({ on: "disconnect", reason }));
for (const name of ["event", "resync", "bye"]) socket.on(name, (data) => say({ on: name, data }));

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const asked = JSON.parse(line);
    if (asked.drop) {
      socket.io.engine.close(); // as a network that goes away: the client comes back by itself
      return;
    }
    socket
      .timeout(5000)
      .emitWithAck(asked.call, asked.fields)
      .then((answer) => say({ on: "answer", answer }))
      .catch((error) => say({ on: "no-answer", message: error.message }));
  })
  .on("close", () => {
    socket.close();
    process.exit(0);
  });
