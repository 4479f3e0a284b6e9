// Run from the top folder: eslint --config station/eslint.config.js station/static tests/js
import js from "@eslint/js";
import globals from "globals";

const languageOptions = { ecmaVersion: 2024, sourceType: "module" };
const MARKUP = ["innerHTML", "outerHTML", "insertAdjacentHTML"];

export default [
  { ignores: ["station/static/vendor/"] },
  js.configs.recommended,
  { files: ["station/static/*.js"], languageOptions: { ...languageOptions, globals: globals.browser } },
  { files: ["tests/js/*.js"], languageOptions: { ...languageOptions, globals: { ...globals.node, ...globals.nodeBuiltin } } },
  {
    rules: {
      "eqeqeq": "error",
      "no-implied-eval": "error",
      "no-restricted-properties": ["error", ...MARKUP.map((property) => ({ property, message: "data from the network must not become markup; use el()" }))],
      "no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "no-var": "error",
      "prefer-const": "error",
    },
  },
];
