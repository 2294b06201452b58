// The little that needs a script: a widget asks its client who the person is, and an open page notices that the cart
// was changed in the chat. Everything else works without it.
"use strict";

(() => {
  const widget = document.getElementById("widget");
  if (widget) signIn(widget);
  const watch = document.body.dataset.watch;
  if (watch) watchCart(watch, document.body.dataset.version);

  // Matrix Widget API (MSC1960, "OpenID"): get_openid, answered at once or later by openid_credentials.
  function signIn(place) {
    const query = new URLSearchParams(location.search);
    const id = query.get("widgetId") || "";
    let client = null;
    try {
      client = new URL(query.get("parentUrl") || "").origin;
    } catch {
      // Not in a client: nobody to ask.
    }
    if (window.parent === window || !client) {
      place.textContent = place.dataset.failed;
      return;
    }
    const request = "openid-" + crypto.randomUUID();
    window.addEventListener("message", (event) => {
      if (event.source !== window.parent || event.origin !== client) return;
      const message = event.data || {};
      if (message.api === "fromWidget" && message.requestId === request && message.response) {
        settle(message.response);
      } else if (message.api === "toWidget" && typeof message.action === "string") {
        reply(message, message.action === "capabilities" ? { capabilities: [] } : {});
        const data = message.data || {};
        if (message.action === "openid_credentials" && data.original_request_id === request) settle(data);
        if (message.action === "notify_capabilities" || message.action === "capabilities") ask();
      }
    });
    post({ api: "fromWidget", requestId: "loaded-" + crypto.randomUUID(), action: "content_loaded", widgetId: id, data: {} });
    let asked = false;
    ask();

    function ask() {
      if (asked) return;
      asked = true;
      post({ api: "fromWidget", requestId: request, action: "get_openid", widgetId: id, data: {} });
    }

    function post(message) {
      window.parent.postMessage(message, client);
    }

    function reply(message, response) {
      post({ ...message, response });
    }

    async function settle(answer) {
      if (answer.state === "request") return;
      if (answer.state !== "allowed" || !answer.access_token) {
        place.textContent = place.dataset.blocked;
        return;
      }
      const body = JSON.stringify({
        access_token: answer.access_token,
        matrix_server_name: answer.matrix_server_name,
        room_id: query.get("roomId") || "",
      });
      try {
        const done = await fetch(place.dataset.exchange, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          credentials: "same-origin",
          body,
        });
        if (!done.ok) throw new Error(String(done.status));
        location.replace(place.dataset.next);
      } catch {
        place.textContent = place.dataset.failed;
      }
    }
  }

  function watchCart(address, version) {
    const look = async () => {
      if (document.hidden) return;
      try {
        const answer = await fetch(address, { credentials: "same-origin" });
        if (!answer.ok) return;
        const now = String((await answer.json()).version);
        // What somebody is about to send is not taken from under their hands: the form says that the cart has changed.
        const typing = document.activeElement && document.activeElement.matches("input[type=text]");
        if (now !== version && !typing && document.querySelector(".lines, .cart")) location.reload();
      } catch {
        // The network is away; the next look may find it back.
      }
    };
    setInterval(look, 5000);
    document.addEventListener("visibilitychange", look);
  }
})();
