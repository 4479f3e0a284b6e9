// What a viewer of a panel would read and see, by Grafana's own code (@grafana/data).
//
// Reads one request a line from standard input, writes one answer a line, and ends with its input.
// Request: {panel, frames, from, to, colours}. `frames`: data frames as the data source returns them, [{name?, fields:
// [{name, type, values, labels?}]}]. `colours`: names that the answer uses instead of `#rrggbb`.
// Answer of a table: {rows: [{column: cell}]}, of a stat: {tiles: {name: cell}}, of a state timeline: {strips: {name:
// [{from, text, colour}]}} or {message}, of a chart: {series: {name: {colour, legend: {calc: text}, values: [text]}}}.
// A cell is {text, background, colour, href}; '' is no colour.
//
// The panels themselves are not on npm. Written here is only what they add to a field: which columns have a background,
// and how a state timeline joins equal neighbours. It joins before the mappings; with colours by thresholds it joins all
// values between two thresholds and shows the thresholds.
const { createInterface } = require('node:readline')
const grafana = require('@grafana/data')

const theme = grafana.createTheme({ colors: { mode: 'dark' } })
const PROCESSORS = {
  unit: grafana.unitOverrideProcessor,
  mappings: grafana.valueMappingsOverrideProcessor,
  thresholds: grafana.thresholdsOverrideProcessor,
  links: grafana.dataLinksOverrideProcessor,
  displayName: grafana.displayNameOverrideProcessor,
}
const STANDARD = ['unit', 'decimals', 'min', 'max', 'displayName', 'noValue', 'color', 'mappings', 'thresholds', 'links', 'description']

// The registry that Grafana fills with the settings of its editor: the standard ones, and those of the panel type.
function registry(fieldConfig) {
  const names = new Set(STANDARD)
  for (const key of Object.keys(fieldConfig.defaults.custom ?? {})) names.add(`custom.${key}`)
  for (const { properties } of fieldConfig.overrides) for (const { id } of properties) names.add(id)
  return new grafana.Registry(() =>
    [...names].map((id) => ({
      id,
      name: id,
      path: id.replace(/^custom\./, ''),
      isCustom: id.startsWith('custom.'),
      process: PROCESSORS[id] ?? grafana.identityOverrideProcessor,
      shouldApply: () => true,
      settings: { expandTemplateVars: id === 'displayName' },
    })),
  )
}

// Only the variables that links and names of fields use; the values of a dashboard's own variables are not known.
function replaceVariables(text, scopedVars) {
  return text.replace(/\$\{__(data\.fields|field\.labels)\.([\w ]+)(:percentencode)?\}/g, (whole, kind, name, encode) => {
    const { frame, field, rowIndex } = scopedVars.__dataContext.value
    if (kind === 'data.fields' && rowIndex === undefined) return whole // replaced later, with a row
    const column = () => frame.fields.find((each) => each.name === name)?.values[rowIndex]
    const value = String((kind === 'field.labels' ? field.labels?.[name] : column()) ?? '')
    return encode ? encodeURIComponent(value) : value
  })
}

// JSON has no -Infinity: Grafana sets the value of each base step when it loads a dashboard.
function setBase(thresholds) {
  if (thresholds?.steps.length) thresholds.steps[0].value ??= -Infinity
}

function fieldsOf({ panel, frames }) {
  const fieldConfig = { defaults: {}, overrides: [], ...panel.fieldConfig }
  setBase(fieldConfig.defaults.thresholds)
  for (const { properties } of fieldConfig.overrides) for (const { value } of properties) setBase(value?.steps && value)
  const data = frames.map((frame) => grafana.toDataFrame(frame))
  return grafana.applyFieldOverrides({
    data,
    fieldConfig,
    fieldConfigRegistry: registry(fieldConfig),
    replaceVariables,
    theme,
    timeZone: 'utc',
  })
}

function namer(names) {
  const known = new Map(names.map((name) => [hex(theme.visualization.getColorByName(name)), name]))
  return (colour) => {
    if (!colour || /^#.{6}00$/.test(hex(colour))) return ''
    return known.get(hex(colour)) ?? hex(colour)
  }
}

function hex(colour) {
  return grafana.colorManipulator.asHexString(theme.visualization.getColorByName(colour)).toLowerCase()
}

function cell(value, mode, name, href = '') {
  const colour = name(value.color)
  return {
    text: grafana.formattedValueToString(value),
    background: mode.startsWith('background') ? colour : '',
    colour: mode === 'value' ? colour : '',
    href,
  }
}

const CELL_MODES = { 'color-background': 'background', 'color-text': 'value' }

function table({ panel, ...rest }, name) {
  const rows = []
  for (const frame of fieldsOf({ panel, ...rest })) {
    for (let index = 0; index < frame.length; index++) {
      const row = {}
      for (const field of frame.fields) {
        const custom = field.config.custom ?? {}
        if (custom.hidden || custom.hideFrom?.viz) continue
        const [link] = field.config.links?.length ? field.getLinks({ valueRowIndex: index }) : []
        const mode = CELL_MODES[custom.cellOptions?.type] ?? 'none'
        row[grafana.getFieldDisplayName(field, frame)] = cell(field.display(field.values[index]), mode, name, link?.href)
      }
      rows.push(row)
    }
  }
  return { rows }
}

function stat(request, name) {
  const { panel } = request
  const shown = grafana.getFieldDisplayValues({
    fieldConfig: panel.fieldConfig,
    reduceOptions: panel.options.reduceOptions,
    data: fieldsOf(request),
    replaceVariables,
    theme,
    timeZone: 'utc',
  })
  return { tiles: Object.fromEntries(shown.map(({ display }) => [display.title ?? '', cell(display, panel.options.colorMode, name)])) }
}

function thresholdLabel(config, step) {
  const { steps } = config.thresholds
  const first = step.value === -Infinity && steps.length > 1
  const format = grafana.getValueFormat(config.unit ?? '')
  const text = grafana.formattedValueToString(format(first ? steps[1].value : step.value, config.decimals ?? undefined))
  return first ? `< ${text}` : `${text}+`
}

function strip(times, field, merge, name) {
  const { config } = field
  const byThreshold = merge && config.color?.mode === 'thresholds' && field.type === 'number'
  const states = field.values.map((value) =>
    byThreshold && value != null ? grafana.getActiveThreshold(value, config.thresholds.steps) : value,
  )
  const nullIsMapped = config.mappings?.some(({ type, options }) => type === 'special' && options.match.startsWith('null'))
  const boxes = []
  let before
  states.forEach((state, index) => {
    const same = merge && index > 0 && state === before
    before = state
    if (same || (state == null && !nullIsMapped)) return
    const value = field.display(field.values[index])
    boxes.push({
      from: times[index],
      text: byThreshold ? thresholdLabel(config, state) : grafana.formattedValueToString(value),
      colour: name(byThreshold ? theme.visualization.getColorByName(state.color) : value.color),
    })
  })
  return boxes
}

function timeline(request, name) {
  const strips = {}
  for (const frame of fieldsOf(request)) {
    const time = frame.fields.find((field) => field.type === 'time')
    if (!time) continue
    for (const field of frame.fields) {
      if (field.type === 'time') continue
      strips[grafana.getFieldDisplayName(field, frame)] = strip(time.values, field, request.panel.options.mergeValues, name)
    }
  }
  return Object.keys(strips).length ? { strips } : { message: 'Data does not have a time field' }
}

function chart(request, name) {
  const series = {}
  const calcs = request.panel.options.legend?.calcs ?? []
  for (const frame of fieldsOf(request)) {
    for (const field of frame.fields) {
      if (field.type !== 'number') continue
      const reduced = grafana.reduceField({ field, reducers: calcs })
      series[grafana.getFieldDisplayName(field, frame)] = {
        colour: name(grafana.getFieldSeriesColor(field, theme).color),
        legend: Object.fromEntries(calcs.map((calc) => [calc, grafana.formattedValueToString(field.display(reduced[calc]))])),
        values: field.values.map((value) => grafana.formattedValueToString(field.display(value))),
      }
    }
  }
  return { series }
}

const PANELS = { table, stat, 'state-timeline': timeline, timeseries: chart, barchart: chart }

createInterface({ input: process.stdin }).on('line', (line) => {
  const request = JSON.parse(line)
  let answer
  try {
    answer = PANELS[request.panel.type](request, namer(request.colours))
  } catch (error) {
    answer = { error: String(error.stack) }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
})
