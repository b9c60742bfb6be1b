// Draws the plots of the console from the tables that stand below them. Without it all is readable.
"use strict";

(() => {
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // A time or a day as seconds; null where there is none.
  const seconds = (text) => {
    const iso = text.length === 10 ? `${text}T00:00:00Z` : text.replace(" ", "T");
    const value = Date.parse(iso);
    return Number.isNaN(value) ? null : value / 1000;
  };

  const number = (text) => (text === "" || Number.isNaN(Number(text)) ? null : Number(text));

  const names = (text) => (text ? text.split("|") : []);

  const read = (table) => ({
    columns: [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim()),
    rows: [...table.tBodies[0].rows].map((row) => [...row.cells]),
  });

  const column = (data, name, convert) => {
    const place = data.columns.indexOf(name);
    return data.rows.map((row) => convert(row[place].textContent.trim()));
  };

  // Days that cannot be trusted have a tick at the foot of the plot, and their state in the table.
  const ticks = (data, name) => (plot) => {
    const place = data.columns.indexOf(name);
    if (place < 0) return;
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.fillStyle = color("--bad");
    data.rows.forEach((row, index) => {
      if (!row[place].classList.contains("bad")) return;
      const x = plot.valToPos(plot.data[0][index], "x", true);
      ctx.fillRect(x - 2, bbox.top + bbox.height - 12, 4, 12);
    });
    ctx.restore();
  };

  const draw = (place) => {
    const table = document.getElementById(place.dataset.table);
    const data = read(table);
    const series = names(place.dataset.series);
    const band = names(place.dataset.band);
    const x = data.rows.map((row) => seconds(row[0].textContent.trim()));
    const stepped = place.dataset.plot === "steps";
    const paths = stepped ? uPlot.paths.stepped({ align: 1 }) : undefined;
    const lines = series.map((name, index) => ({
      label: name,
      stroke: color(`--s${index % 7}`),
      width: 2,
      dash: index ? [4 + 2 * index, 3] : undefined,
      paths,
      spanGaps: false,
      points: { show: stepped ? false : undefined },
    }));
    const edges = band.map((name) => ({ label: name, stroke: color("--band"), points: { show: false } }));
    const axis = { stroke: color("--text"), grid: { stroke: color("--soft") } };
    const days = place.dataset.plot === "days";
    const iso = (stamp) => new Date(stamp * 1000).toISOString();
    const moment = (stamp) => (stamp == null ? "" : iso(stamp).slice(0, days ? 10 : 19).replace("T", " "));
    const ticked = (plot, stamps) => stamps.map((stamp) => iso(stamp).slice(...(days ? [5, 10] : [11, 16])));
    const wide = (plot, labels) => 20 + 8 * Math.max(2, ...(labels ?? []).map((label) => label.length));
    const options = {
      width: Math.max(place.clientWidth, 280),
      height: 220,
      tzDate: (stamp) => uPlot.tzDate(new Date(stamp * 1000), "Etc/UTC"),
      scales: { y: { range: (plot, low, high) => [Math.min(0, low ?? 0), Math.max(1, high ?? 1) * 1.05] } },
      axes: [{ ...axis, values: ticked }, { ...axis, size: wide }],
      series: [{ label: "time", value: (plot, stamp) => moment(stamp) }, ...edges, ...lines],
      bands: band.length === 2 ? [{ series: [2, 1], fill: color("--band") }] : [],
      hooks: { draw: [ticks(data, place.dataset.marks)] },
    };
    const values = [x, ...[...band, ...series].map((name) => column(data, name, number))];
    place.hidden = false;
    options.width = Math.max(place.clientWidth, 280);
    const plot = new uPlot(options, values, place);
    plot.over.addEventListener("click", () => {
      const link = data.rows[plot.cursor.idx]?.[0].querySelector("a");
      if (link) window.location.assign(link.href);
    });
    window.addEventListener("resize", () => {
      plot.setSize({ width: Math.max(place.clientWidth, 280), height: 220 });
    });
    table.closest("details").open = false;
  };

  document.querySelectorAll(".plot").forEach((place) => {
    if (document.getElementById(place.dataset.table)) draw(place);
  });
})();
