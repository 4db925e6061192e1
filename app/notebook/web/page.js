"use strict";
(() => {
  const root = document.documentElement;
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const night = matchMedia("(prefers-color-scheme: dark)");
  const colours = {
    light: { quiet: "#8a857c", grid: "#e4e0d9" },
    dark: { quiet: "#7d828a", grid: "#2c3037" },
  };

  function config(theme) {
    const { quiet, grid } = colours[theme];
    return {
      background: null,
      font: "system-ui, sans-serif",
      view: { stroke: null },
      axis: { domainColor: quiet, tickColor: quiet, gridColor: grid },
    };
  }

  async function draw(place) {
    const { spec, fit, theme } = charts[Number(place.dataset.chart)];
    const width = Math.min(900, document.querySelector("main").clientWidth - 40);
    const whole = { ...spec, width, autosize: { type: "fit-x", contains: "padding" } };
    // Evaluated by an interpreter (ast), so that nothing in a chart is ever run as a program.
    await vegaEmbed(place, fit && !spec.hconcat ? whole : spec, {
      mode: "vega-lite",
      ast: true,
      renderer: "svg",
      actions: false,
      defaultStyle: false,
      config: config(theme),
      tooltip: { theme },
    });
    place.dataset.drawn = "yes";
  }

  function show(theme) {
    root.dataset.theme = theme;
    document.querySelector(`input[name="theme"][value="${theme}"]`).checked = true;
  }

  show(night.matches ? "dark" : "light");
  night.addEventListener("change", () => show(night.matches ? "dark" : "light"));
  for (const choice of document.querySelectorAll('input[name="theme"]'))
    choice.addEventListener("change", () => show(choice.value));

  (async () => {
    const places = [...document.querySelectorAll(".chart")];
    const seen = (place) => !place.classList.contains(root.dataset.theme === "dark" ? "light" : "dark");
    for (const place of [...places.filter(seen), ...places.filter((place) => !seen(place))]) {
      try {
        await draw(place);
      } catch {
        place.textContent = "This picture could not be drawn.";
        place.dataset.drawn = "no";
      }
    }
    root.dataset.drawn = "yes";
  })();
})();
