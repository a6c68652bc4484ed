// @nostr-relay with every default, wired as its README does: `node relay.js PORT PATH`.
// It listens on 127.0.0.1:PORT, and runs until it is killed.

import { createOutgoingNoticeMessage } from "@nostr-relay/common";
import { NostrRelay } from "@nostr-relay/core";
import { EventRepositorySqlite } from "@nostr-relay/event-repository-sqlite";
import { Validator } from "@nostr-relay/validator";
import Database from "libsql";
import { WebSocketServer } from "ws";

const [port, path] = process.argv.slice(2);

const database = new Database(path);
database.pragma("journal_mode = WAL"); // as the repository does where it opens the file itself
const events = new EventRepositorySqlite(database);
await events.init();
const relay = new NostrRelay(events);
const validator = new Validator();

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(port) });
server.on("connection", (socket) => {
  relay.handleConnection(socket);
  socket.on("message", async (data) => {
    try {
      await relay.handleMessage(socket, await validator.validateIncomingMessage(data));
    } catch (error) {
      socket.send(JSON.stringify(createOutgoingNoticeMessage(error.message)));
    }
  });
  socket.on("error", console.error);
  socket.on("close", () => relay.handleDisconnect(socket));
});
