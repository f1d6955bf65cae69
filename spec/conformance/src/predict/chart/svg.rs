//! Curves as SVG, readable on light and on dark.

use std::io::{self, Write};

use quick_xml::Writer;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};

use super::scale::{Round, Scale};
use super::{Curve, Curves, RATE_MAX, RATE_MIN, whole};
use crate::predict::costs::ShownParameter;
use crate::predict::prediction::{NATURE, Prediction};
use crate::size::{Rate, Size};

/// Colours by the class of a strategy; `prefers-color-scheme` also holds where the file stands
/// alone.
const STYLE: &str = "
  svg { color-scheme: light dark; --page: #ffffff; --ink: #1c2127; --soft: #5f6973; --line: #dfe1e4;
    --c0: #7a828b; --c1: #c2571a; --c2: #14866d; --c3: #8a4fb5; --c4: #1f5fd0; --c5: #1c2127; }
  @media (prefers-color-scheme: dark) {
    svg { --page: #131619; --ink: #e5e8ea; --soft: #97a1ab; --line: #30363c;
      --c0: #98a1aa; --c1: #f0955a; --c2: #4cc7a8; --c3: #c79af0; --c4: #7fb0ff; --c5: #e5e8ea; }
  }
  .page { fill: var(--page); }
  text { fill: var(--ink); font: 13px system-ui, sans-serif; }
  .title { font-size: 16px; font-weight: 600; }
  .soft { fill: var(--soft); font-size: 12px; }
  .grid { stroke: var(--line); stroke-width: 1; }
  .axis { stroke: var(--soft); stroke-width: 1; }
  .curve { fill: none; stroke-width: 2; }
  .k0 { stroke: var(--c0); } .k1 { stroke: var(--c1); } .k2 { stroke: var(--c2); }
  .k3 { stroke: var(--c3); } .k4 { stroke: var(--c4); stroke-width: 3; }
  .k5 { stroke: var(--c5); stroke-dasharray: 2 4; }
";

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 1120.0;

/// Where the parameters begin, and how far their lines are apart.
const PARAMETERS_TOP: f64 = 980.0;
const PARAMETERS_STEP: f64 = 18.0;

/// One pair of axes with its curves, on the page.
struct Panel<'c> {
    title: &'static str,
    curves: &'c Curves,
    x: Scale,
    y: Scale,
    /// What is round on the x axis, what its marks say, and what it says of itself.
    round: Round,
    mark: fn(f64) -> String,
    name: &'static str,
    top: f64,
}

const LEFT: f64 = 70.0;
const PLOT_WIDTH: f64 = 560.0;
const PLOT_HEIGHT: f64 = 330.0;

/// Between the lines of the legend.
const LEGEND_STEP: f64 = 22.0;

/// Writes both charts of a prediction as one SVG.
///
/// # Errors
/// What the writer reports.
pub fn write_svg(prediction: &Prediction, output: impl Write) -> io::Result<()> {
    let (size, rate) = (&prediction.by_guest_size, &prediction.by_link_rate);
    let panels = [
        Panel {
            title: "Time of a migration against guest size",
            curves: size,
            x: Scale::linear(size.end()),
            y: Scale::linear(size.seconds_max()),
            round: Round::Binary,
            mark: |bytes| Size(whole(bytes)).to_string(),
            name: "guest RAM",
            top: 110.0,
        },
        Panel {
            title: "Time of a migration against the rate of the link",
            curves: rate,
            x: Scale::logarithmic(RATE_MIN, RATE_MAX),
            y: Scale::logarithmic(rate.seconds_min(), rate.seconds_max()),
            round: Round::Decimal,
            mark: |rate| Rate(rate).to_string().replace(".00", ""),
            name: "useful rate of the link, logarithmic; all other figures as they are",
            top: 550.0,
        },
    ];
    let mut page = Page(Writer::new_with_indent(output, b' ', 2));
    page.whole(&heading(prediction), &panels, &prediction.parameters)
}

fn heading(prediction: &Prediction) -> [String; 2] {
    let guest = &prediction.guest;
    let spans = prediction.span_chunks;
    [
        format!(
            "{} guest, idle, {} % of its chunks zero; spans of up to {spans} MiB; preset {}",
            Size(guest.ram_bytes()),
            guest.zero_percent(),
            prediction.preset,
        ),
        NATURE.to_owned(),
    ]
}

/// An SVG that is being written.
struct Page<W: Write>(Writer<W>);

impl<W: Write> Page<W> {
    fn whole(
        &mut self,
        heading: &[String; 2],
        panels: &[Panel<'_>],
        parameters: &[ShownParameter],
    ) -> io::Result<()> {
        let view = format!("0 0 {WIDTH} {HEIGHT}");
        let svg = BytesStart::new("svg")
            .with_attributes([("xmlns", "http://www.w3.org/2000/svg"), ("viewBox", view.as_str())]);
        self.0.write_event(Event::Start(svg))?;
        self.0.create_element("style").write_text_content(BytesText::new(STYLE))?;
        self.element("rect", "page", &[("width", WIDTH), ("height", HEIGHT)])?;
        self.text("title", "start", LEFT, 32.0, "Migration over RDMA: predicted, not measured")?;
        for (line, y) in heading.iter().zip([54.0, 72.0]) {
            self.text("soft", "start", LEFT, y, line)?;
        }
        for panel in panels {
            self.axes(panel)?;
            self.curves(panel)?;
        }
        self.parameters(parameters)?;
        self.0.write_event(Event::End(BytesEnd::new("svg")))?;
        writeln!(self.0.get_mut())
    }

    /// Every figure, in two columns.
    fn parameters(&mut self, parameters: &[ShownParameter]) -> io::Result<()> {
        self.text("", "start", LEFT, PARAMETERS_TOP, "Parameters")?;
        let half = parameters.len().div_ceil(2);
        let columns = parameters.chunks(half.max(1)).zip([LEFT, WIDTH / 2.0]);
        for (column, x) in columns {
            let mut y = PARAMETERS_TOP;
            for ShownParameter { name, shown, status, .. } in column {
                y += PARAMETERS_STEP;
                self.text("soft", "start", x, y, &format!("{name}: {shown} ({status})"))?;
            }
        }
        Ok(())
    }

    fn axes(&mut self, panel: &Panel<'_>) -> io::Result<()> {
        let (right, bottom) = (LEFT + PLOT_WIDTH, panel.top + PLOT_HEIGHT);
        self.text("", "start", LEFT, panel.top - 14.0, panel.title)?;
        for mark in panel.y.marks(Round::Decimal) {
            let y = panel.y_of(mark);
            self.line("grid", [LEFT, y, right, y])?;
            self.text("soft", "end", LEFT - 8.0, y + 4.0, &format!("{mark} s"))?;
        }
        for mark in panel.x.marks(panel.round) {
            let x = panel.x_of(mark);
            self.line("grid", [x, panel.top, x, bottom])?;
            self.text("soft", "middle", x, bottom + 18.0, &(panel.mark)(mark))?;
        }
        self.line("axis", [LEFT, bottom, right, bottom])?;
        self.line("axis", [LEFT, panel.top, LEFT, bottom])?;
        self.text("soft", "middle", LEFT + PLOT_WIDTH / 2.0, bottom + 38.0, panel.name)
    }

    fn curves(&mut self, panel: &Panel<'_>) -> io::Result<()> {
        let legend = LEFT + PLOT_WIDTH + 24.0;
        let mut y = panel.top + 12.0;
        for (number, curve) in panel.curves.curves.iter().enumerate() {
            let class = format!("curve k{number}");
            let points = panel.points(curve);
            self.0
                .create_element("polyline")
                .with_attributes([("class", class.as_str()), ("points", points.as_str())])
                .write_empty()?;
            self.line(&class, [legend, y - 4.0, legend + 26.0, y - 4.0])?;
            self.text("", "start", legend + 34.0, y, curve.name)?;
            y += LEGEND_STEP;
        }
        Ok(())
    }

    fn line(&mut self, class: &str, [x1, y1, x2, y2]: [f64; 4]) -> io::Result<()> {
        self.element("line", class, &[("x1", x1), ("y1", y1), ("x2", x2), ("y2", y2)])
    }

    fn element(&mut self, name: &str, class: &str, numbers: &[(&str, f64)]) -> io::Result<()> {
        let mut element = self.0.create_element(name).with_attribute(("class", class));
        for (name, number) in numbers {
            element = element.with_attribute((*name, format!("{number:.1}").as_str()));
        }
        element.write_empty().map(|_| ())
    }

    fn text(&mut self, class: &str, anchor: &str, x: f64, y: f64, text: &str) -> io::Result<()> {
        let (x, y) = (format!("{x:.1}"), format!("{y:.1}"));
        let attributes =
            [("class", class), ("text-anchor", anchor), ("x", x.as_str()), ("y", y.as_str())];
        let element = self.0.create_element("text").with_attributes(attributes);
        element.write_text_content(BytesText::new(text)).map(|_| ())
    }
}

impl Panel<'_> {
    fn x_of(&self, place: f64) -> f64 {
        LEFT + self.x.place(place) * PLOT_WIDTH
    }

    fn y_of(&self, seconds: f64) -> f64 {
        self.top + (1.0 - self.y.place(seconds)) * PLOT_HEIGHT
    }

    fn points(&self, curve: &Curve) -> String {
        let points = self.curves.places.iter().zip(&curve.seconds);
        let points = points
            .map(|(place, seconds)| format!("{:.1},{:.1}", self.x_of(*place), self.y_of(*seconds)));
        points.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::plan;
    use super::*;
    use crate::predict::predict;
    use quick_xml::Reader;

    #[test]
    fn the_file_is_well_formed_and_names_every_curve_axis_and_unit() {
        let mut svg = Vec::new();
        write_svg(&predict(&plan()), &mut svg).unwrap();
        let svg = String::from_utf8(svg).unwrap();
        let mut reader = Reader::from_str(&svg);
        let mut curves = 0;
        loop {
            match reader.read_event().unwrap() {
                Event::Empty(element) if element.name().as_ref() == b"polyline" => curves += 1,
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(curves, 12);
        for text in [
            "ours, look-ahead",
            "wire limit",
            "QEMU, TCP",
            "guest RAM",
            "16 GiB",
            "100 Gb/s",
            "10 s",
            "never a measurement",
            "155 µs (fitted)",
            "prefers-color-scheme: dark",
            "8 GiB guest",
        ] {
            assert!(svg.contains(text), "{text} is not in\n{svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
