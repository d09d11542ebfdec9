"use strict";
// Follows the node. Only what changed is replaced, so that focus and scrolling stay.
(() => {
  const live = document.getElementById("live");
  const state = document.getElementById("live-state");
  if (!live || !state || !window.EventSource) return;
  const AGAIN = 10000;
  let source = null;
  let timer = 0;

  const say = (text) => {
    if (state.textContent !== text) state.textContent = text;
  };
  const key = (node) => (node.dataset ? node.dataset.key : undefined);
  const isSame = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && key(a) === key(b);

  // Makes `old` what `fresh` is. A child with a key is found again wherever it is.
  const update = (old, fresh) => {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== Node.ELEMENT_NODE) {
      old.nodeValue = fresh.nodeValue;
      return;
    }
    for (const name of old.getAttributeNames()) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const name of fresh.getAttributeNames()) {
      const value = fresh.getAttribute(name);
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    children(old, fresh);
  };
  const children = (old, fresh) => {
    const keyed = new Map([...old.children].filter(key).map((child) => [key(child), child]));
    let at = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      const match = key(child) ? keyed.get(key(child)) : at;
      if (match && isSame(match, child)) {
        if (match === at) at = at.nextSibling;
        else old.insertBefore(match, at);
        update(match, child);
      } else {
        old.insertBefore(child, at);
      }
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  };

  const show = (html) => {
    const selection = document.getSelection();
    // Somebody copies.
    if (selection && !selection.isCollapsed && live.contains(selection.anchorNode)) return;
    const focus = document.activeElement;
    children(live, new DOMParser().parseFromString(html, "text/html").body);
    // A row that moved has lost it.
    if (focus && focus !== document.activeElement && live.contains(focus)) focus.focus({ preventScroll: true });
  };

  const stop = () => {
    clearTimeout(timer);
    if (source) source.close();
    source = null;
  };
  const start = () => {
    stop();
    source = new EventSource("live");
    source.onopen = () => say("Live: follows the node.");
    source.onmessage = (event) => show(event.data);
    source.onerror = () => {
      say("Not live: the daemon does not answer. Trying again.");
      if (source && source.readyState === EventSource.CLOSED) timer = setTimeout(start, AGAIN);
    };
  };
  // Nobody looks at a hidden page.
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
  if (!document.hidden) start();
})();
