// A real Vendure with a few products, for the contract test of bots/commerce/engines/vendure.py.
//
//   npm install @vendure/core@3.5.2 better-sqlite3@11      (in a folder that these files are copied to)
//   node shop.js populate && node shop.js
//   RIALTO_TEST_VENDURE=http://127.0.0.1:13000/shop-api pytest tests/unit/test_catalogue_vendure.py
const path = require('path');
const { bootstrap, DefaultJobQueuePlugin, DefaultSearchPlugin, JobQueueService } = require('@vendure/core');
const { populate } = require('@vendure/core/cli');

const config = {
  apiOptions: { port: 13000, hostname: '127.0.0.1', adminApiPath: 'admin-api', shopApiPath: 'shop-api' },
  authOptions: {
    tokenMethod: ['bearer', 'cookie'],
    superadminCredentials: { identifier: 'superadmin', password: 'superadmin' },
    cookieOptions: { secret: 'local' },
  },
  dbConnectionOptions: { type: 'better-sqlite3', synchronize: true, database: path.join(__dirname, 'vendure.sqlite') },
  importExportOptions: { importAssetsDir: __dirname },
  paymentOptions: { paymentMethodHandlers: [] },
  plugins: [
    DefaultJobQueuePlugin.init({ useDatabaseForBuffer: true }),
    DefaultSearchPlugin.init({ bufferUpdates: false, indexStockStatus: true }),
  ],
};

async function main() {
  if (process.argv[2] === 'populate') {
    const app = await populate(() => bootstrap(config), require('./initial.json'), path.join(__dirname, 'products.csv'));
    await new Promise((done) => setTimeout(done, 8000)); // the search index is made by jobs
    await app.close();
    process.exit(0);
  }
  const app = await bootstrap(config);
  await app.get(JobQueueService).start();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
