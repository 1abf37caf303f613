"""ExpTest inside other people's training loops.

Lightning (``pip install -e ".[lightning]"``); ``print(callback.record)`` says what it did::

    from exptest.integrations.lightning import ExpTestCallback

    callback = ExpTestCallback(max_lr=0.5)
    trainer = Trainer(max_epochs=10, callbacks=[callback])
    trainer.fit(model, loader)

Transformers (``pip install -e ".[transformers]"``); the Trainer's own scheduler is not used::

    from exptest.integrations.transformers import ExpTestCallback

    callback = ExpTestCallback(max_lr=0.5)
    trainer = Trainer(model, args, train_dataset=dataset, callbacks=[callback])
    trainer.train()

Both callbacks take the settings of `exptest.ExpTest`, go into the frameworks' checkpoints, and
refuse a second owner of the rate. A warm-up or a decay is handed over as a function,
``ExpTestCallback(max_lr=0.5, schedule=lambda optimizer: LambdaLR(optimizer, ...))``.

skorch needs a callback of ten lines; ``net.history[:, "batches", :, "lr"]`` has the rates::

    from exptest import ExpTest
    from skorch.callbacks import Callback

    class ExpTestCallback(Callback):
        def __init__(self, max_lr):
            self.max_lr = max_lr

        def on_train_begin(self, net, **kwargs):
            self.exptest_ = ExpTest(net.optimizer_, max_lr=self.max_lr, model=net.module_)

        def on_batch_end(self, net, training=False, loss=None, **kwargs):
            if training:
                net.history.record_batch("lr", self.exptest_.get_last_lr()[0])
                self.exptest_.step(loss)

accelerate needs none; ``save_state`` and ``load_state`` include what is registered::

    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    exptest = ExpTest(optimizer, max_lr=0.5, model=model)
    accelerator.register_for_checkpointing(exptest)
    for x, y in loader:
        with accelerator.accumulate(model):
            loss = loss_fn(model(x), y)
            accelerator.backward(loss)
            optimizer.step()
            exptest.step(loss)
            optimizer.zero_grad()
"""
