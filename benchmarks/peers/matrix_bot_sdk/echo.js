// The peer: an echo bot on matrix-bot-sdk's Appservice, as its tutorial would have one written.
//
// node echo.js OPTIONS, a JSON object: modules (the folder with node_modules), homeserver, port, asToken, hsToken,
// domain, localpart, sender, id.

"use strict";

const Module = require("module");
const path = require("path");

const options = JSON.parse(process.argv[2]);

// The SDK loads its encryption's native library when it is imported, and installing that one downloads it from outside
// the registry. Nothing is encrypted here, so an empty module stands in: using it would be a TypeError.
const load = Module._load;
Module._load = (request, ...rest) =>
    /matrix-sdk-crypto-nodejs$/.test(request) ? {} : load(request, ...rest);

const { Appservice, LogLevel, LogService } = require(path.join(options.modules, "node_modules", "matrix-bot-sdk"));

LogService.setLevel(LogLevel.WARN);

const userId = `@${options.localpart}:${options.domain}`;
const appservice = new Appservice({
    bindAddress: "127.0.0.1",
    port: options.port,
    homeserverName: options.domain,
    homeserverUrl: options.homeserver,
    registration: {
        id: options.id,
        url: `http://127.0.0.1:${options.port}`,
        as_token: options.asToken,
        hs_token: options.hsToken,
        sender_localpart: options.sender,
        namespaces: { users: [{ exclusive: true, regex: `@${options.localpart}:.*` }], rooms: [], aliases: [] },
    },
});
const intent = appservice.getIntentForUserId(userId);

appservice.on("room.message", async (roomId, event) => {
    if (event.sender === userId || event.content.msgtype !== "m.text") return;
    await intent.sendText(roomId, event.content.body);
});

// The SDK knows no ping; the benchmark takes it for the sign that the service is ready.
appservice.expressAppInstance.post("/_matrix/app/v1/ping", (_, response) => response.json({}));

appservice.begin().then(() =>
    appservice.botClient.doRequest("POST", `/_matrix/client/v1/appservice/${options.id}/ping`, {}, {
        transaction_id: "start",
    })
);
