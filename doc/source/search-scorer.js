// The points of search results.  A page whose title contains the words comes before pages that only
// mention them, a how-to before the reference, and a decision last.
var Scorer = {
  score: (result) => {
    const [page, title, anchor, , score] = result;
    const words = new URLSearchParams(location.search).get("q").toLowerCase().trim().split(/\s+/);
    const isSubject = !anchor && words.every(word => title.toLowerCase().includes(word));
    const place = page.startsWith("adr/") ? -4 : page.startsWith("howto/") ? 3 : 0;
    // The anchor of an entry of the index is empty, and Sphinx fails to make an extract of nothing.
    if (anchor && anchor.startsWith("#index-")) result[2] = "";
    return score + place + (isSubject ? 20 : 0);
  },
  // Sphinx's own points.
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
