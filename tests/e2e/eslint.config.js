// What ESLint asks of the JavaScript in web/, tests/e2e, bench and examples. tools/lint runs it from the top of the tree.
// It holds the layers of web/, too: client knows only itself, model may use client, and view both; and what
// client and model may use of a browser is named here, so that neither can reach for the DOM.
import js from "@eslint/js";

const readonly = (...names) => Object.fromEntries(names.map((name) => [name, "readonly"]));

// In the page, in its workers and in Node: all that the client needs.
const anywhere = readonly("AbortController", "AbortSignal", "Event", "Intl", "TextDecoder", "TextEncoder", "URL",
  "URLSearchParams", "WebSocket", "clearInterval", "clearTimeout", "console", "crypto", "fetch", "navigator",
  "performance", "setInterval", "setTimeout", "structuredClone");
const storage = readonly("addEventListener", "localStorage", "sessionStorage");
const page = readonly("CSS", "Document", "Element", "Highlight", "HTMLElement", "NodeFilter", "Range", "ResizeObserver",
  "addEventListener", "dispatchEvent", "document", "getComputedStyle", "getSelection", "history", "innerHeight",
  "innerWidth", "location", "matchMedia", "requestAnimationFrame", "scrollTo", "window");
const node = readonly("Buffer", "process", "setImmediate");

// folders: which a file in this folder of web/ may import of.
const importsOnly = (...folders) => ({
  "no-restricted-imports": ["error", {
    patterns: [{
      regex: `^(?!(?:${folders.join("|").replaceAll(".", "\\.")})/\\w+\\.js$)`,
      message: `A file here may import of ${folders.join(", ")} only.`,
    }],
  }],
});

export default [
  { ignores: ["**/node_modules/", "build/"] },
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2024, sourceType: "module", globals: anywhere },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "eqeqeq": "error",
      "no-control-regex": "off", // control characters are what some of them look for
      "no-shadow": "error",
      "no-unused-vars": ["error", { argsIgnorePattern: "^_", ignoreRestSiblings: true }],
      "no-var": "error",
      "prefer-const": "error",
      "quotes": ["error", "double", { avoidEscape: true }],
    },
  },
  { files: ["web/client/**"], rules: importsOnly(".") },
  {
    files: ["web/model/**"],
    languageOptions: { globals: storage },
    rules: importsOnly(".", "../client"),
  },
  {
    files: ["web/view/**"],
    languageOptions: { globals: page },
    rules: importsOnly(".", "../client", "../model"),
  },
  { files: ["web/app.js"], languageOptions: { globals: page } },
  // What a test hands to the browser runs in the page.
  { files: ["tests/e2e/**"], languageOptions: { globals: { ...node, ...page, ...storage } } },
  { files: ["bench/**"], languageOptions: { globals: node } },
  { files: ["examples/**"], languageOptions: { globals: node } },
  { files: ["examples/identity/chat.js"], languageOptions: { globals: page, sourceType: "script" } },
];
