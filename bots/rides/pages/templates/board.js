// Brings the board up to date every few seconds. Without this script the page loads itself again.
"use strict";

(() => {
  const live = document.getElementById("live");
  const trouble = document.getElementById("trouble");
  let timer = setInterval(look, Number(live.dataset.every));
  document.addEventListener("visibilitychange", look);

  async function look() {
    if (document.hidden || !timer) return;
    try {
      const answer = await fetch(live.dataset.live, { credentials: "same-origin", cache: "no-store" });
      if (answer.status === 401) {
        clearInterval(timer);
        timer = 0;
        say(live.dataset.over);
      } else if (answer.ok) {
        live.innerHTML = await answer.text();
        say("");
      } else {
        say(live.dataset.stale);
      }
    } catch {
      say(live.dataset.stale); // The network is away; the next look may find it back.
    }
  }

  function say(text) {
    trouble.textContent = text;
    trouble.hidden = !text;
  }
})();
