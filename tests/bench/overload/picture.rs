//! The curve, as a picture.

use std::fmt::Write;

use super::{FLOOR, Step};

const LEFT: f64 = 80.0;
const WIDTH: f64 = 820.0;

/// Draws it.
pub fn picture(steps: &[Step], most: f64, machine: &str) -> String {
    let widest = steps.iter().map(|step| step.offered).fold(1.0, f64::max);
    let x = |offered: f64| LEFT + offered / widest * WIDTH;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"960\" height=\"760\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"960\" height=\"760\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"30\" font-size=\"18\">Calls completed, of calls offered</text>\n\
         <text x=\"{LEFT}\" y=\"50\" fill=\"#555\">a second each, medians; the server has {machine}; a refused call is told so (503) and not tried again</text>\n"
    );
    let (top, height) = (75.0, 380.0);
    let y = |calls: f64| top + height - calls / (most * 1.25) * height;
    let rule = |svg: &mut String, calls: f64, text: &str, colour: &str| {
        let y = y(calls);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" stroke-dasharray=\"5 4\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"{colour}\">{text}</text>",
            LEFT + WIDTH,
            LEFT + WIDTH,
            y - 5.0
        );
    };
    rule(&mut svg, most, &format!("the most: {most:.0}"), "#555");
    rule(&mut svg, most * FLOOR, "90 %", "#c03028");
    let steepest = most * 1.25;
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#bbb\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#888\">every call offered</text>",
        x(0.0),
        y(0.0),
        x(steepest),
        y(steepest),
        x(steepest) + 6.0,
        top + 10.0
    );
    let axis = |svg: &mut String, top: f64, height: f64| {
        let bottom = top + height;
        let _ = writeln!(
            svg,
            "<path d=\"M {LEFT} {top} V {bottom} H {}\" fill=\"none\" stroke=\"#333\"/>",
            LEFT + WIDTH
        );
        for times in 0..=5 {
            let at = x(widest * f64::from(times) / 5.0);
            let _ = writeln!(
                svg,
                "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">{:.0}</text>",
                bottom + 17.0,
                widest * f64::from(times) / 5.0
            );
        }
    };
    axis(&mut svg, top, height);
    let curve = |svg: &mut String, colour: &str, points: Vec<(f64, f64)>| {
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (x, y) in points {
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>"
            );
        }
    };
    let points = |y: &dyn Fn(&Step) -> f64| steps.iter().map(|step| (x(step.offered), y(step))).collect();
    curve(&mut svg, "#4878a8", points(&|step| y(step.completed)));
    let (low, flat) = (540.0, 150.0);
    let slowest = steps.iter().map(|step| step.bye_ms(0.99)).fold(10.0, f64::max) * 1.1;
    let ms = |value: f64| low + flat - value / slowest * flat;
    let lost: u64 = steps.iter().map(|step| step.audio.lost).sum();
    let sent: u64 = steps.iter().map(|step| step.audio.sent).sum();
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{}\">What calls in progress feel: ms from BYE to its answer, half of them and 99 of 100; RTP lost: {lost} of {sent} packets</text>\
         <text x=\"{}\" y=\"{low}\" text-anchor=\"end\" fill=\"#555\">{slowest:.0} ms</text>",
        low - 14.0,
        LEFT - 8.0
    );
    axis(&mut svg, low, flat);
    curve(&mut svg, "#c08030", points(&|step| ms(step.bye_ms(0.99))));
    curve(&mut svg, "#4878a8", points(&|step| ms(step.bye_ms(0.5))));
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"735\" fill=\"#555\">calls offered a second: tests/bench/run overload</text>\n</svg>"
    );
    svg
}
