// The words of a page's scripts: they stand in the page (`data-word-…` of <body>), so that one catalogue holds them all.

/** The words of `name`, with `{places}` filled from `values`. */
export function word(name, values = {}) {
  const key = "word" + name.split(/[.\-_]/).map((part) => part[0].toUpperCase() + part.slice(1)).join("");
  return (document.body.dataset[key] ?? "").replace(/\{(\w+)\}/g, (_, place) => String(values[place] ?? ""));
}
