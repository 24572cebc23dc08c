// Which page it is, drawn anew when the reader's colours change.

function renderReport() {
  const data = JSON.parse(document.getElementById("data").textContent);
  const report = document.getElementById("report");
  const page = {
    replay: () => replayPage(data),
    compare: () => new ComparePage(data.figures).render(),
    stress: () => new StressPage(data).render(),
  }[data.kind]();
  report.replaceChildren(...page);
  const title = report.querySelector("h1").textContent;
  document.title = `${title} · twostep`;
}

renderReport();
matchMedia("(prefers-color-scheme: dark)")
    .addEventListener("change", renderReport);
